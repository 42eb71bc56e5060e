"""Chooses held-out and training rows by a hash of their prompt, never by their position."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loraflow.data.clean.fingerprints import Digests, Rows

_ROUNDING = 1e-6  # 7 / 0.7 is 10, and a little less in floating point


def choose_held_out(
    prompt: Digests, stratum: Digests, rows: Rows, *, held_out_rows: int, seed: int
) -> Rows:
    """Choose the held-out rows among `rows`; rows with one prompt are never torn apart.

    A group's place follows from a hash of its prompt and the seed, so rows added to a file do not
    shuffle the others, though new groups may take places on the held-out side. A side ends before
    the first group that would overfill it, so it may be a little smaller than asked for. With
    several strata (of each group's first row) every stratum gives in proportion to its rows.
    """
    prompts, first, group = np.unique(prompt[rows], return_index=True, return_inverse=True)
    sizes = np.bincount(group, minlength=len(prompts))
    strata, stratum_of_group = np.unique(stratum[rows][first], return_inverse=True)
    available = np.bincount(stratum_of_group, weights=sizes, minlength=len(strata)).astype(float)
    quotas = _in_proportion(available, held_out_rows)
    order = np.argsort(_places(prompts, seed), kind="stable")
    chosen = np.zeros(len(prompts), bool)
    for number, quota in enumerate(quotas):
        candidates = order[stratum_of_group[order] == number]
        chosen[_fill(candidates, sizes, quota)] = True
    held_out: Rows = rows[chosen[group]]
    return held_out


def choose_training(
    prompt: Digests,
    entry: NDArray[np.int16],
    rows: Rows,
    *,
    train_rows: int | None,
    weights: Sequence[float] | None,
    seed: int,
) -> Rows:
    """Choose the rows to train on: at most `train_rows`, mixed by the weights of their entries.

    No row is repeated: the entry that is shortest for its weight decides how many the others give.
    """
    order = rows[np.lexsort((rows, _places(prompt[rows], seed)))]
    if weights is None:
        return np.sort(order[:train_rows])
    shares = np.array(weights) / sum(weights)
    available = np.bincount(entry[rows], minlength=len(shares))
    total = int(min(available / shares) + _ROUNDING)
    if train_rows is not None:
        total = min(total, train_rows)
    quotas = _in_proportion(shares, total)
    chosen = [order[entry[order] == number][:quota] for number, quota in enumerate(quotas)]
    return np.sort(np.concatenate(chosen))


def _fill(candidates: Rows, sizes: Rows, quota: int) -> list[int]:
    """Take groups in order up to the first that would overfill; one that never fits is passed."""
    taken: list[int] = []
    filled = 0
    for group in candidates:
        size = int(sizes[group])
        if size > quota:
            continue
        if filled + size > quota:
            break
        taken.append(int(group))
        filled += size
    return taken


def _in_proportion(available: NDArray[Any], total: int) -> list[int]:
    """Share `total` by largest remainders (Hamilton's method)."""
    exact = available / max(available.sum(), 1) * total
    quotas = np.floor(exact).astype(int)
    largest = np.argsort(quotas - exact, kind="stable")
    quotas[largest[: total - int(quotas.sum())]] += 1
    return [int(quota) for quota in quotas]


def _places(prompts: Digests, seed: int) -> Digests:
    """Scatter digests (splitmix64's finalizer), so that their order says nothing of the text."""
    mixed = prompts ^ np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
