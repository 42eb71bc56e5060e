"""What a night's training starts from: the base, or the champion with the adapter that it has."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from flows.night.tonight import Tonight
from flows.stages import Stages, Start
from loraflow.check import dump_config
from loraflow.errors import UserError

if TYPE_CHECKING:
    from loraflow.promote.registry.version import Version


def find_start(tonight: Tonight, stages: Stages) -> Start | None:
    """Return what the training goes on with: the champion, if it is to and there is one.

    Raises:
        UserError: if the config asks for another adapter than the champion's.
    """
    if tonight.request.night.start == "base":
        return None
    if (champion := tonight.registry.champion()) is None:
        return None
    _require_same_adapter(tonight, champion)
    return tonight.fetch(stages, champion)


def _require_same_adapter(tonight: Tonight, champion: "Version") -> None:
    """Refuse what MLflow would be told and nothing trained: an adapter keeps its r and modules."""
    from loraflow.tracking.fetch import fetch_settings

    config = tonight.request.config
    has = fetch_settings(config.tracking, champion.run_id)["adapter"]
    asked = dump_config(config)["adapter"]
    if odd := [key for key in asked if has.get(key, asked[key]) != asked[key]]:
        raise UserError(
            f"night.start=champion goes on with the adapter of version {champion.number}, which "
            f"has {_words(has, odd)}, and {_words(asked, odd)} is asked for; "
            f"set {_words(has, odd)}, or night.start=base to train another adapter"
        )


def _words(adapter: Mapping[str, Any], keys: Sequence[str]) -> str:
    """Return keys of the section as one types them."""
    from loraflow.tracking.data import as_params

    params = as_params({"adapter": {key: adapter[key] for key in keys}})
    return " ".join(f"{key}={value}" for key, value in params.items())
