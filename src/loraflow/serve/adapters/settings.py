"""The config that goes with an adapter: its training's, but for what this command sets."""

from collections.abc import Mapping, Sequence
from typing import Any

from omegaconf import OmegaConf

from loraflow.check import dump_config, load_config
from loraflow.config import Config
from loraflow.errors import UserError
from loraflow.serve.adapters.adapter import Adapter

_OF_THIS_MACHINE = ("tracking", "store", "model.cache")


def config_of(adapter: Adapter, config: Config, words: Sequence[str]) -> Config:
    """Return the config of the run that trained `adapter`; `config` where nobody knows that one.

    Args:
        adapter: what `AdapterFinder` found
        config: as the command line composes it
        words: overrides on the command line, which win over the run's

    Raises:
        UserError: as `recall` does.
    """
    if adapter.settings is None or adapter.run_id is None:
        return config
    return recall(adapter.run_id, adapter.settings, config, words)


def recall(run: str, settings: Mapping[str, Any], config: Config, words: Sequence[str]) -> Config:
    """Return a run's `settings` with what `words` set in `config`, and this machine's places.

    Raises:
        UserError: if that is no config, as where keys were renamed since.
    """
    recalled, given = OmegaConf.create(dict(settings)), OmegaConf.create(dump_config(config))
    for key in [*map(_key_of, words), *_OF_THIS_MACHINE]:
        OmegaConf.update(recalled, key, OmegaConf.select(given, key), merge=False)
    try:
        return load_config(OmegaConf.to_container(recalled))  # type: ignore[arg-type]
    except UserError as error:
        raise UserError(f"the settings of run {run} cannot be used here: {error}") from error


def _key_of(word: str) -> str:
    """Return the dotted key that an override sets."""
    return word.partition("=")[0].lstrip("+~").replace("/", ".").partition("@")[0]
