"""What arms cost, means over their seeds, as the table of all arms shows it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean

from loraflow.sweep.report.content import Arm, Cost, RankPage


@dataclass(frozen=True)
class ArmCost:
    """A row of costs; None: not measured."""

    arm: Arm
    evaluate_seconds: float | None
    tokens: float | None
    tokens_per_second: float | None
    peak_memory_gib: float | None
    kilojoules: float | None


def costs_of(page: RankPage) -> Mapping[str, ArmCost]:
    """Return the costs of each arm, from its trials that finished."""
    known: dict[str, list[Cost]] = {arm.name: [] for arm in page.arms}
    for trial in page.trials:
        if trial.cost is not None and trial.state == "finished" and trial.arm in known:
            known[trial.arm].append(trial.cost)
    return {arm.name: _mean(arm, known[arm.name]) for arm in page.arms}


def _mean(arm: Arm, costs: list[Cost]) -> ArmCost:
    def over(value: Callable[[Cost], float | None]) -> float | None:
        found = [one for cost in costs if (one := value(cost)) is not None]
        return fmean(found) if found else None

    return ArmCost(
        arm,
        evaluate_seconds=over(lambda cost: cost.evaluate_seconds),
        tokens=over(lambda cost: cost.tokens or None),
        tokens_per_second=over(lambda cost: cost.tokens / cost.seconds if cost.seconds else None),
        peak_memory_gib=over(lambda cost: cost.peak_memory_gib or None),
        kilojoules=over(
            lambda cost: None if cost.energy_joules is None else cost.energy_joules / 1000
        ),
    )
