"""What the rank report shows; trials, of a sweep or of runs that exist, are brought into this form.

An arm is one configuration, trained with one or several seeds. Every sequence may be empty: its
section is left out. Texts may hold anything.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from loraflow.compare.arms import Comparison
from loraflow.compare.recommend import Recommendation

State = Literal["finished", "pruned", "failed", "waiting"]
Value = str | float | int | bool | None
"""Of a dimension; numbers are drawn on an axis, all else as categories in their order."""


@dataclass(frozen=True)
class Cost:
    """What a trial took. None: not measured here."""

    seconds: float  # of training
    evaluate_seconds: float
    tokens: int  # read in training
    trainable_parameters: int
    peak_memory_gib: float
    energy_joules: float | None = None


@dataclass(frozen=True)
class Trial:
    """One training with one seed."""

    name: str  # by its values: "r=4, attention_qv, seed 0"
    arm: str  # name of the arm that it belongs to
    values: Mapping[str, Value]  # by dimension
    seed: int
    state: State
    reason: str = ""  # why it failed, where it was pruned, or why it has no score
    score: float | None = None  # by the metric of the comparison
    cost: Cost | None = None
    losses: Sequence[tuple[int, float]] = ()  # step and training loss
    validation: Sequence[tuple[int, float]] = ()  # step and loss on rows apart
    url: str = ""  # of its MLflow run


@dataclass(frozen=True)
class Arm:
    """One configuration that is compared; its numbers are in the comparison, under its name."""

    name: str
    values: Mapping[str, Value]  # by dimension; a control has none
    scale: float | None  # what the update is multiplied with. None: no LoRA
    trainable_parameters: int
    seconds: float  # of training, mean over seeds
    is_control: bool = False  # the base model, or the head alone: nothing of rank r is trained


@dataclass(frozen=True)
class Dimension:
    """Something that varies."""

    name: str  # as it is called in trials: "r"
    key: str  # as it is set: "adapter.r"
    values: Sequence[Value]  # in their order; of a range: those that were tried
    is_compared: bool = True  # False: chosen for each arm by the search
    importance: float | None = None  # share of the variation that it explains (fANOVA)
    is_scored_once: bool = False  # tuned, and no arm has scores of two values: nothing to compare


@dataclass(frozen=True)
class RankPage:
    """A sweep, or a comparison of runs."""

    title: str
    metric: str
    meaning: str  # of the metric, one line
    larger_is_better: bool
    task: str  # of the training: it decides what a loss is counted in
    dimensions: Sequence[Dimension]
    arms: Sequence[Arm]
    trials: Sequence[Trial]
    comparison: Comparison | None  # None: fewer than two arms have finished
    recommendation: Recommendation | None
    facts: Sequence[tuple[str, str]] = ()  # name and value: model, data, items
    findings: Sequence[str] = ()  # sentences; the recommendation comes first by itself
    others: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Further metrics: metric -> arm -> value (mean over seeds)."""
