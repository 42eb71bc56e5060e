"""What both servers begin with: the adapters that are named, and the config of their base."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass

from flows.used_command import Used
from loraflow.config import Config, ServeConfig
from loraflow.config.values import STRICT
from loraflow.errors import PassingError

if TYPE_CHECKING:
    from loraflow.serve.adapters.adapter import Adapter
    from loraflow.serve.adapters.find import AdapterFinder

KEY = "LORAFLOW_API_KEY"  # environment variable


@dataclass(frozen=True, config=STRICT)
class Sections:
    """What a server has beside the experiment's own sections."""

    serve: ServeConfig


def note_of(serve: ServeConfig) -> Path:
    """Return where it is noted what the registry's aliases were when it last answered."""
    return serve.folder / "aliases.json"


def find_given(used: Used[Sections]) -> "tuple[AdapterFinder, dict[str, Adapter]]":
    """Return what finds adapters, and those that serve.adapters names."""
    from loraflow.serve.adapters.find import AdapterFinder

    serve = used.sections.serve
    finder = AdapterFinder(
        used.config.tracking,
        registered=serve.registered,
        key="serve.registered",
        cache=serve.folder / "adapters",
    )
    given = {name: finder.find(source) for name, source in serve.adapters.items()}
    finder.cache.pin()
    return finder, given


def served_config(
    used: Used[Sections], finder: "AdapterFinder", given: "Mapping[str, Adapter]"
) -> Config:
    """Return the config whose base is served: of the champion's training, else of the first."""
    from loraflow.serve.names.note import noted

    try:
        champion = finder.aliases().get("champion")
        leads = [] if champion is None else [finder.of_version(champion, "champion")]
    except PassingError:  # whoever follows the registry says so
        last = noted(note_of(used.sections.serve), finder.cache)
        leads = [adapter for alias, adapter in last.items() if alias == "champion"]
    known = [adapter for adapter in [*leads, *given.values()] if adapter.settings is not None]
    return used.config_of(known[0]) if known else used.config
