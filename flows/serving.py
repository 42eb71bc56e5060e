"""What both servers begin with: adapters by name, the config of their base, and who moves names."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from flows.used_command import Used
from loraflow.config import Config, ServeConfig
from loraflow.config.values import STRICT
from loraflow.errors import PassingError, UserError

if TYPE_CHECKING:
    from loraflow.serve.adapters.adapter import Adapter
    from loraflow.serve.adapters.find import AdapterFinder
    from loraflow.serve.names.follow import Follower, Movable

KEY = "LORAFLOW_API_KEY"  # environment variable


@dataclass(frozen=True, config=STRICT)
class Sections:
    """What a server has beside the experiment's own sections."""

    serve: ServeConfig


def bound_waits_for_mlflow() -> None:
    """Wait for MLflow shortly: it is asked again and again, so no single answer matters."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def note_of(serve: ServeConfig) -> Path:
    """Return where it is noted what the aliases were when the registry last answered."""
    return serve.folder / f"aliases-{serve.registered}.json"  # of several servers in one folder


def find_given(used: Used[Sections]) -> "tuple[AdapterFinder, dict[str, Adapter]]":
    """Return what finds adapters, and those that serve.adapters names.

    Raises:
        UserError: if one cannot be had, or has a name that the server gives itself.
    """
    from loraflow.serve.adapters.find import AdapterFinder

    serve = used.sections.serve
    if serve.adapters:
        _require_free(list(serve.adapters))
    finder = AdapterFinder(
        used.config.tracking,
        registered=serve.registered,
        key="serve.registered",
        cache=serve.folder / "adapters",
    )
    given = {name: finder.find(source) for name, source in serve.adapters.items()}
    finder.cache.pin()
    return finder, given


def find_champion(serve: ServeConfig, finder: "AdapterFinder") -> "Adapter | None":
    """Return the champion, or what it was last, if it cannot be had; None: there is none.

    Raises:
        UserError: if it is no adapter, or cannot be had for a reason that lasts and never was.
    """
    from loraflow.serve.names.note import noted

    try:
        number = finder.aliases().get("champion")
        champion = None if number is None else finder.of_version(number, "champion")
    except (OSError, ValueError) as error:  # UserErrors too; whoever follows the registry says so
        champion = noted(note_of(serve), finder.cache).get("champion")
        if champion is None and not isinstance(error, PassingError):
            raise
    if champion is not None and champion.is_whole_model:
        raise UserError(
            f"the champion of serve.registered={serve.registered} ({champion.short}) is a whole "
            "model, not an adapter; write it to a folder (make export ARGS=export=merged) and "
            "serve it as the base: serve.registered=null model=folder model.location=FOLDER"
        )
    return champion


def served_config(
    used: Used[Sections], finder: "AdapterFinder", given: "Mapping[str, Adapter]"
) -> Config:
    """Return the config whose base is served: of the champion's training, else of the first."""
    leads = [find_champion(used.sections.serve, finder), *given.values()]
    known = [lead for lead in leads if lead is not None and lead.settings is not None]
    return used.config_of(known[0]) if known else used.config


def make_follower(
    serve: ServeConfig, names: "Movable", finder: "AdapterFinder"
) -> "Follower | None":
    """Return what moves names as the registry's aliases move; None: no model of it is served."""
    from loraflow.serve.names.follow import Follower

    if not finder.has_aliases:
        return None
    return Follower(names, finder, note=note_of(serve), seconds=serve.poll_seconds)


def _require_free(names: list[str]) -> None:
    from loraflow.serve.adapters.adapter import BASE
    from loraflow.serve.adapters.find import ALIASES
    from loraflow.serve.names.names import DEFAULT

    own = (DEFAULT, BASE.source, *ALIASES)
    if taken := [name for name in names if name in own]:
        raise UserError(
            f"serve.adapters.{taken[0]}: the server itself gives the names {', '.join(own)}; "
            f"choose another, such as my_{taken[0]}"
        )
