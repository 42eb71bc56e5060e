"""Successive halving: configurations of an arm train to the same step, and the best go on.

Nobody goes on before all have come as far, so none trains to the end only because it came first.
It goes by the loss on rows apart; the rows of the comparison see nothing.

- Successive halving: Jamieson and Talwalkar 2016, arXiv:1502.07943.
- One in three goes on: Li et al. 2018, arXiv:1603.06560.
"""

from collections.abc import Mapping

from loraflow.sweep.outcome import Outcome

REDUCTION = 3  # of three at a rung, one goes on

Standings = Mapping[str, Outcome | None]
"""How far each configuration of an arm came, by name; None: it is still to begin."""


def next_round(arm: Standings, first_look: int) -> dict[str, int | None]:
    """Return which configurations train now, and the step at which they pause; None: their end.

    Rungs are at `first_look`, three times that, nine times and so on. Whoever fails makes room for
    the next best, so an arm keeps one that is trained to the end. What was pruned stays so: it is
    only compared with what is proposed later. Empty: one is finished, or none can be.
    """
    alive = [name for name, one in arm.items() if one is None or one.state != "failed"]
    step, places = first_look, len(arm)
    while len(alive) > 1:
        behind = [name for name in alive if not _has_reached(arm[name], step)]
        if climbing := [name for name in behind if not _has_ended(arm[name])]:
            return dict.fromkeys(climbing, step)
        places = max(1, places // REDUCTION)
        there = [name for name in alive if name not in behind]
        alive = sorted(there, key=lambda name: _loss(arm[name], step))[:places]
        step *= REDUCTION
    return {name: None for name in alive if not _has_ended(arm[name])}


def verdict(arm: Standings, name: str) -> str:
    """Return why the paused configuration `name` is pruned, now that the arm has ended."""
    one = arm[name]
    if one is None:
        raise ValueError(f"{name} has not begun")
    there = [other for other in arm.values() if other and other.has_reached(one.step)]
    ahead = [other for other in there if other.state == "finished" or other.step > one.step]
    return f"{one.reason}; {len(ahead)} of {len(there)} went on"


def _has_ended(outcome: Outcome | None) -> bool:
    return outcome is not None and outcome.state in ("finished", "pruned")


def _has_reached(outcome: Outcome | None, step: int) -> bool:
    return outcome is not None and outcome.has_reached(step)


def _loss(outcome: Outcome | None, step: int) -> float:
    return float("inf") if outcome is None else outcome.best_loss(step)
