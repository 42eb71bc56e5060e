"""A sweep: what varies, how it is searched and compared, and where its trials run."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.config.values import STRICT, PositiveFloat, PositiveInt, Seed, Text

Objective = Literal["loss", "trainable_parameters", "seconds", "peak_memory_gib"]


@dataclass(frozen=True, config=STRICT)
class SearchConfig:
    """Settings that are not compared but chosen, for each arm by itself (Optuna)."""

    tune: dict[Text, Any]  # dimensions, as in sweep.space; a range as {low:, high:, log:}
    sampler: Literal["grid", "random", "tpe"]
    trials: PositiveInt | None  # configurations tried for each arm; grid tries all
    objectives: Annotated[list[Objective], Field(min_length=1)]  # all are to be small
    pruning: Literal["halving", "hyperband"] | None  # inside an arm, by loss on rows apart
    storage: Text  # Optuna's: sqlite:///FILE or postgresql://...
    seed: Seed  # of the sampler


@dataclass(frozen=True, config=STRICT)
class CompareConfig:
    """By what arms are compared."""

    metric: Text | None  # of the evaluation; null: the usual one of train.task
    margin: PositiveFloat | None  # a smaller loss of quality is none; null: that of the metric


@dataclass(frozen=True, config=STRICT)
class SweepConfig:
    """One question to many trainings."""

    name: Text
    space: dict[Text, Any]  # what is compared: key or name of one's own -> values or choices
    set: dict[Text, Any]  # keys that every trial of this sweep has
    seeds: Annotated[list[Seed], Field(min_length=1)]  # of train.seed: each repeats every trial
    attempts: PositiveInt  # at a trial that fails, over all calls of the command
    search: SearchConfig
    compare: CompareConfig


@dataclass(frozen=True, config=STRICT)
class RunnerConfig:
    """Where trials run."""

    kind: Literal["local", "processes", "dask", "ray"]
    workers: PositiveInt  # trials at a time; of a cluster by address: its own number
    address: Text | None  # of a Dask or Ray cluster; null: one that is started here
    gpus: Annotated[int, Field(ge=0, strict=True)]  # of a trial
