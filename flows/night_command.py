"""The command line of a night: an experiment, and what the night does around it."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from pydantic.dataclasses import dataclass as checked

from flows.command import compose_settings, read_command, readable
from flows.composing import Composer, Words
from loraflow.check import dump_config, load_config, load_sections
from loraflow.config import Config, GateConfig, NightConfig, ScheduleConfig
from loraflow.config.values import STRICT
from loraflow.errors import UserError
from loraflow.model.methods import continued_faults
from loraflow.store import Key, make_key

_NAME = re.compile(r"\w[\w.-]*")
_OWN = ("gate", "night", "schedule")  # sections that an experiment does not have


@checked(frozen=True, config=STRICT)
class Sections:
    """What a night has beside the experiment's own sections."""

    gate: GateConfig
    night: NightConfig
    schedule: ScheduleConfig


@dataclass(frozen=True)
class NightRequest:
    """A night, checked."""

    config: Config  # of the challenger
    gate: GateConfig  # its metric is known
    night: NightConfig
    schedule: ScheduleConfig
    words: Sequence[str]

    @property
    def settings(self) -> Key:
        """Name what a challenger follows from beside its data and the champion."""
        config = dump_config(self.config)
        data = {name: value for name, value in config["data"].items() if name != "path"}
        rest = {name: config[name] for name in config if name not in ("data", "tracking", "store")}
        return make_key(
            "night",
            1,
            **rest,
            data=data,
            gate=asdict(self.gate),
            start=self.night.start,
            drift=asdict(self.night.drift),
        )

    @property
    def experiment_words(self) -> list[str]:
        """Return the words that an experiment, or a sweep of it, would understand too."""
        return list(Words(self.words, own=_OWN).of_experiment.values())

    def with_words(self, recommended: Mapping[str, Any]) -> "NightRequest":
        """Return the same night with the keys of `recommended`, unless the command line has them.

        Raises:
            UserError: if they do not go with the rest.
        """
        settings = Composer(Words(self.words, own=_OWN), recommended)({})
        return replace(self, config=_checked(settings, self.night))


def night_words() -> list[str] | None:
    """Return the words of the command line; None if they ask for no night, as --help does."""
    words = [readable(word) for word in sys.argv[1:]]
    if any(word.startswith("-") for word in words) and not read_command("nightly"):
        return None
    return [word for word in words if not word.startswith("-")]


def read_night(words: Sequence[str]) -> NightRequest:
    """Return the night that `words`, overrides of conf/nightly.yaml, ask for.

    Raises:
        UserError: names each key with a fault, and the fix.
    """
    from loraflow.promote.gate.check import night_faults
    from loraflow.sweep.metric import usual_metric

    composed = compose_settings("nightly", words)
    sections = load_sections(Sections, {name: composed.pop(name) for name in _OWN})
    config = _checked(composed, sections.night)
    metric = sections.gate.metric or usual_metric(config.train.task)
    gate = replace(sections.gate, metric=metric)
    if faults := night_faults(gate, config):
        raise UserError("\n".join(faults))
    if not _NAME.fullmatch(sections.night.name):
        raise UserError(
            f"night.name={sections.night.name} cannot be the name of a registered model and of a "
            "folder; set night.name=NAME, of letters, digits, -, _ and ."
        )
    return NightRequest(config, gate, sections.night, sections.schedule, words)


def _checked(settings: Mapping[str, Any], night: NightConfig) -> Config:
    config = load_config(settings)
    if faults := [*_unfit(config), *_start_faults(config, night)]:
        raise UserError("\n".join(faults))
    return config


def _unfit(config: Config) -> Iterator[str]:
    """Yield what an experiment may have, and a night may not."""
    if config.adapter.method == "none":
        yield "adapter=none trains nothing, so no night can promote it; use adapter=lora"
    if config.data.split.held_out_path is not None:
        yield (
            f"data.split.held_out_path={config.data.split.held_out_path}: what nights are decided "
            "on is the gate set; set gate.path to that file instead"
        )
    if config.before:
        yield (
            f"before.{next(iter(config.before))}: an earlier training splits its own data, and may "
            "read rows that the nights are decided on; leave before out: run those trainings once, "
            "on other data, merge them (make export) and set model=folder model.location=FOLDER "
            "night.name=NAME"
        )


def _start_faults(config: Config, night: NightConfig) -> Iterator[str]:
    if night.start == "base":
        return
    for fault in continued_faults(config.adapter, "the champion (night.start=champion)"):
        yield f"{fault}; or set night.start=base"
    if night.sweep_on:
        yield (
            f"night.sweep_on=[{','.join(night.sweep_on)}] looks for another r, and "
            "night.start=champion goes on with the champion's; set night.start=base, or "
            "night.sweep_on=[]"
        )
