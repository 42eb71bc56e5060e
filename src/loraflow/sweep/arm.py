"""One arm of a sweep: what it is compared by is fixed, what is tuned is proposed and chosen."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from loraflow.config import SearchConfig
from loraflow.files import read_json
from loraflow.sweep.outcome import Outcome
from loraflow.sweep.pruning import Pruning
from loraflow.sweep.space import Value

if TYPE_CHECKING:
    from loraflow.sweep.study import Search


MayRetry = Callable[["Arm", Mapping[str, Value]], bool]
"""Tells whether a configuration that failed has attempts left."""


@dataclass(frozen=True)
class Proposal:
    """A configuration of an arm that is to be trained with every seed."""

    arm: "Arm"
    tuned: Mapping[str, Value]
    number: int = 0  # in the study of the arm

    @property
    def pruning(self) -> Pruning | None:
        """Return what may stop its first seed, by itself."""
        return self.arm.pruning(self.number)


class Arm:
    """Proposes configurations; without anything to tune there is exactly one."""

    def __init__(self, compared: Mapping[str, Value], search: "Search | None" = None) -> None:
        """Take the values that are compared, and the study of what is tuned."""
        self.compared = compared
        self._search = search
        self._is_fresh = True

    def past(self) -> list[Mapping[str, Value]]:
        """Return what was tried in earlier calls of the command."""
        return [] if self._search is None else self._search.past()

    def resume(self, may_retry: MayRetry) -> list[Proposal]:
        """Return what an earlier call left undone, and what failed and may be tried again."""
        if self._search is None:
            return []
        for values in self._search.failed():
            if may_retry(self, values):
                self._search.retry(values)
        return [Proposal(self, one.values, one.number) for one in self._search.interrupted()]

    def propose(self, most: int) -> list[Proposal]:
        """Return new configurations; none when all were tried."""
        if self._search is not None:
            proposed = self._search.propose(most)
            return [Proposal(self, one.values, one.number) for one in proposed]
        only, self._is_fresh = [Proposal(self, {})] if self._is_fresh else [], False
        return only

    def pruning(self, number: int) -> Pruning | None:
        """Return what may stop trial `number` of the study while it trains."""
        if self._search is None or self._search.config.pruning != "hyperband":
            return None
        return Pruning(self._search.config, self._search.name, number)

    def tell(self, proposal: Proposal, outcomes: Sequence[Outcome]) -> None:
        """Tell the study how a configuration ended with all of its seeds."""
        if self._search is None:
            return
        states = {outcome.state for outcome in outcomes}
        state = next((state for state in ("failed", "pruned") if state in states), "finished")
        values = None
        if state == "finished":
            values = objectives(self._search.config, outcomes)
        if state == "pruned":
            self._search.report(proposal.number, outcomes[0].validation)
        self._search.tell(proposal.number, values, state)

    def chosen(self) -> list[Mapping[str, Value]]:
        """Return the tuned values that stand for the arm: the best, or the Pareto front."""
        return [{}] if self._search is None else self._search.chosen()


def objectives(search: SearchConfig, outcomes: Sequence[Outcome]) -> list[float]:
    """Return the objectives of a configuration, each a mean over its seeds; less is better."""
    return [fmean(_OBJECTIVES[name](outcome) for outcome in outcomes) for name in search.objectives]


def _loss(outcome: Outcome) -> float:
    return min(loss for _, loss in outcome.validation)


def _result(outcome: Outcome) -> Any:
    return read_json(Path(outcome.trained) / "result.json")


_OBJECTIVES: dict[str, Any] = {
    "loss": _loss,
    "trainable_parameters": lambda outcome: _result(outcome)["counts"]["trainable_parameters"],
    "seconds": lambda outcome: _result(outcome)["seconds"],
    "peak_memory_gib": lambda outcome: _result(outcome)["peak_memory_gib"],
}
