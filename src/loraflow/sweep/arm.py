"""One arm of a sweep: what it is compared by is fixed, what is tuned is proposed and chosen."""

import math
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


Finished = Callable[["Proposal"], Sequence[Outcome]]
"""Returns the outcomes of a configuration's trials that finished."""


@dataclass(frozen=True)
class Proposal:
    """A configuration of an arm that is to be trained with every seed."""

    arm: "Arm"
    tuned: Mapping[str, Value]
    number: int = 0  # in the study of the arm
    is_told: bool = False  # the study knows how it ended

    @property
    def pruning(self) -> Pruning | None:
        """Return what may stop its first seed, by itself; a study asks nothing once it was told."""
        return None if self.is_told else self.arm.pruning(self.number)


class Arm:
    """Proposes configurations; without anything to tune there is exactly one.

    The study proposes, and learns from what it is told; all else follows from the notes.
    """

    def __init__(self, compared: Mapping[str, Value], search: "Search | None" = None) -> None:
        """Take the values that are compared, and the study of what is tuned."""
        self.compared = compared
        self._search = search

    def known(self) -> list[Proposal]:
        """Return what was proposed so far, in earlier calls of the command too."""
        if self._search is None:
            return [Proposal(self, {})]
        known = self._search.known()
        return [Proposal(self, one.values, one.number, one.is_told) for one in known]

    def propose(self, most: int) -> list[Proposal]:
        """Return new configurations; none when all were tried."""
        proposed = [] if self._search is None else self._search.propose(most)
        return [Proposal(self, one.values, one.number) for one in proposed]

    def pruning(self, number: int) -> Pruning | None:
        """Return what may stop trial `number` of the study while it trains."""
        if self._search is None or self._search.config.pruning != "hyperband":
            return None
        return Pruning(self._search.config, self._search.name, number)

    def tell(self, proposal: Proposal, outcomes: Sequence[Outcome]) -> None:
        """Tell the study how a configuration ended with its seeds, unless it knows already.

        It is measured by the seeds that finished, as it is compared.
        """
        if self._search is None or proposal.is_told:
            return
        if finished := [outcome for outcome in outcomes if outcome.state == "finished"]:
            self._search.tell(proposal.number, objectives(self._search.config, finished))
            return
        state = "pruned" if any(outcome.state == "pruned" for outcome in outcomes) else "failed"
        if state == "pruned":
            self._search.report(proposal.number, outcomes[0].validation)
        self._search.tell(proposal.number, None, state)

    def chosen(self, finished: Finished) -> list[Mapping[str, Value]]:
        """Return the tuned values that stand for the arm: the best, or the Pareto front."""
        if self._search is None:
            return [{}]
        known = [
            (one.tuned, objectives(self._search.config, outcomes))
            for one in self.known()
            if (outcomes := finished(one))
        ]
        return [
            tuned for tuned, values in known if not any(_beats(other, values) for _, other in known)
        ]


def objectives(search: SearchConfig, outcomes: Sequence[Outcome]) -> list[float]:
    """Return the objectives of a configuration, each a mean over its seeds; less is better."""
    return [fmean(_OBJECTIVES[name](outcome) for outcome in outcomes) for name in search.objectives]


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    """Tell whether objectives are nowhere larger than others, and somewhere smaller."""
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))


def _loss(outcome: Outcome) -> float:
    return outcome.best_loss(math.inf)


def _result(outcome: Outcome) -> Any:
    return read_json(Path(outcome.trained) / "result.json")


_OBJECTIVES: dict[str, Any] = {
    "loss": _loss,
    "trainable_parameters": lambda outcome: _result(outcome)["counts"]["trainable_parameters"],
    "seconds": lambda outcome: _result(outcome)["seconds"],
    "peak_memory_gib": lambda outcome: _result(outcome)["peak_memory_gib"],
}
