"""The command line of what uses a training: chat, export, serve; its config comes from the run."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Generic, TypeVar

from flows.command import compose_settings, read_command, readable
from flows.composing import Words
from loraflow.check import load_config, load_sections
from loraflow.config import Config

if TYPE_CHECKING:
    from loraflow.serve.adapters.adapter import Adapter

_Sections = TypeVar("_Sections")


@dataclass(frozen=True)
class Used(Generic[_Sections]):
    """What a command line asks for, checked."""

    config: Config  # as composed; the run's own goes before it, see `config_of`
    sections: _Sections  # that an experiment does not have
    words: Sequence[str]  # for the experiment

    def config_of(self, adapter: "Adapter") -> Config:
        """Return the config of the adapter's training, but for what the command line sets."""
        from loraflow.serve.adapters.settings import config_of

        return config_of(adapter, self.config, self.words)


def used_words(name: str) -> list[str] | None:
    """Return the words of the command line; None if they ask for --help, which is then shown."""
    words = [readable(word) for word in sys.argv[1:]]
    if any(word.startswith("-") for word in words) and not read_command(name):
        return None
    return [word for word in words if not word.startswith("-")]


def read_used(name: str, schema: type[_Sections], words: Sequence[str]) -> Used[_Sections]:
    """Return what `words`, overrides of conf/NAME.yaml, ask for.

    Raises:
        UserError: names each key with a fault, and the fix.
    """
    own = [field.name for field in fields(schema)]  # type: ignore[arg-type]  # pydantic's are such
    composed = compose_settings(name, words)
    sections = load_sections(schema, {section: composed.pop(section) for section in own})
    given = Words(words, own=own).of_experiment
    return Used(load_config(composed), sections, list(given.values()))
