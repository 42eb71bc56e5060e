"""How far tonight's training rows are from those of the last training.

The measure is the population stability index, the sum over bins of (now - before) * ln(now /
before) of their shares (Siddiqi, Credit Risk Scorecards, 2006, section 9). It is above 0 by chance
alone, about (bins - 1) * (1/n + 1/m) for rows that are independent (Yurdakul, Statistical
Properties of Population Stability Index, 2018), and words of a row are not. So chance is measured:
rows are dealt to the two sides anew, 500 times. What the sides have in common makes true chance
smaller still: a night that adds to the last training set raises no alarm for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loraflow.errors import UserError
from loraflow.promote.drift.features import TABLES, Table, look_at, tabulate

FLOOR = 1e-4  # share of a bin that is empty on one side: the logarithm of 0 is endless
_DEALS = 500  # the largest index of so many is the noise: of six features, one night in a hundred
_MOVERS = 3  # of a feature
_SMALLEST_MOVE = 0.002  # of the share of a word or a source, to be told

_FEW = 0.1  # smaller shares are told with digits behind the point

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bin:
    """Shares of a bin among the rows (of a word: among all words)."""

    name: str
    before: float
    now: float

    @property
    def psi(self) -> float:
        """What the bin adds to the index."""
        return float(_terms(np.array([self.before]), np.array([self.now]))[0])


@dataclass(frozen=True)
class Feature:
    """One thing that is watched."""

    name: str  # as metrics have it: answer_characters
    psi: float
    expected: float  # by chance: the mean of the deals
    noise: float  # by chance, at most: the largest of the deals
    bins: Sequence[Bin]
    movers: Sequence[str]  # in words, the largest first


@dataclass(frozen=True)
class Drift:
    """What moved between two sets of training rows, and whether that is more than chance."""

    max_psi: float
    rows_before: int  # measured; of long files not all
    rows_now: int
    features: Sequence[Feature]

    @property
    def drifted(self) -> list[Feature]:
        """Return what exceeds both `max_psi` and the noise, the farthest first."""
        found = [one for one in self.features if one.psi > max(self.max_psi, one.noise)]
        return sorted(found, key=lambda one: -one.psi)

    @property
    def values(self) -> dict[str, float]:
        """Return the index by feature, as the record of a night has it."""
        return {one.name: one.psi for one in self.features}

    @property
    def sentence(self) -> str:
        """Say it in one sentence, with the largest movers."""
        found = self.drifted
        if found:
            named = ", ".join(f"{TITLES[one.name]} (PSI {one.psi:.2f})" for one in found)
            moved = "; ".join(one.movers[0] for one in found if one.movers)
            return f"The data drifted beyond night.drift.max_psi={self.max_psi:g}: {named}. {moved}"
        most = max(self.features, key=lambda one: one.psi)
        return (
            f"No drift beyond night.drift.max_psi={self.max_psi:g}: the farthest is "
            f"{TITLES[most.name]} with PSI {most.psi:.2f} (chance gives up to {most.noise:.2f})."
        )

    def as_dict(self) -> dict[str, Any]:
        """Return everything as JSON values."""
        return {**asdict(self), "drifted": [one.name for one in self.drifted]}


TITLES: Mapping[str, str] = {
    "question_characters": "length of questions",
    "answer_characters": "length of answers",
    "question_language": "language of questions",
    "answer_language": "language of answers",
    "vocabulary": "vocabulary",
    "sources": "sources",
}


def measure_drift(before: Path, now: Path, *, max_psi: float, seed: int = 0) -> Drift:
    """Compare two files of kept records, train.parquet of the last training and of tonight.

    Raises:
        UserError: if a file has no rows.
    """
    sides = [look_at(path) for path in (before, now)]
    rows = [len(side.sources) for side in sides]
    for path, count in zip((before, now), rows, strict=True):
        if not count:
            raise UserError(
                f"{path} has no rows, so drift cannot be measured; prepare the data again, or "
                "delete the folder so that the night counts as the first"
            )
    deals = _deal(rows[0], sum(rows), seed)
    features = [
        _measure(name, tabulate(name, *(getattr(side, name) for side in sides)), rows[0], deals)
        for name in TABLES
    ]
    return Drift(max_psi, rows[0], rows[1], features)


def psi(before: Array, now: Array) -> Array:
    """Return the index of counts by bin, over the last axis."""
    total: Array = _terms(_shares(before), _shares(now)).sum(axis=-1)
    return total


def _measure(name: str, table: Table, rows_before: int, deals: Array) -> Feature:
    whole = np.asarray(table.counts.sum(axis=0), float).ravel()
    before = np.asarray(table.counts[:rows_before].sum(axis=0), float).ravel()
    by_chance = np.asarray((table.counts.T @ deals.T).T, float)
    found = psi(by_chance, whole - by_chance)
    shares = zip(table.bins, _shares(before), _shares(whole - before), strict=True)
    bins = [Bin(bin_name, float(was), float(is_now)) for bin_name, was, is_now in shares]
    return Feature(
        name,
        psi=float(psi(before, whole - before)),
        expected=float(found.mean()),
        noise=float(found.max()),
        bins=bins,
        movers=list(_moved(name, table, bins)),
    )


def _deal(hand: int, rows: int, seed: int) -> Array:
    """Return which rows each deal gives to the side of the reference, (deals, rows)."""
    generator = np.random.default_rng(seed)
    deals = np.zeros((_DEALS, rows))
    for deal in deals:
        deal[generator.permutation(rows)[:hand]] = 1
    return deals


def _shares(counts: Array) -> Array:
    shares: Array = counts / np.maximum(1, counts.sum(axis=-1, keepdims=True))
    return shares


def _terms(before: Array, now: Array) -> Array:
    low, high = np.maximum(before, FLOOR), np.maximum(now, FLOOR)
    terms: Array = (high - low) * np.log(high / low)
    return terms


def _moved(name: str, table: Table, bins: Sequence[Bin]) -> Iterator[str]:
    if table.before is not None and table.now is not None and table.before != table.now:
        what = TITLES[name].removeprefix("length of ").removesuffix("s")
        yield f"median {what}: {table.before:,.0f} → {table.now:,.0f} characters"
    for one in sorted(bins, key=lambda one: -one.psi)[:_MOVERS]:
        if abs(one.now - one.before) >= _SMALLEST_MOVE:
            words = _WORDS_FOR[name].format(name=one.name)
            yield f"{words}: {_percent(one.before)} → {_percent(one.now)}"


_WORDS_FOR: Mapping[str, str] = {
    "question_characters": "questions of {name} characters",
    "answer_characters": "answers of {name} characters",
    "question_language": "{name} questions",
    "answer_language": "{name} answers",
    "vocabulary": "“{name}” among all words",
    "sources": "rows of {name}",
}


def _percent(share: float) -> str:
    return f"{100 * share:.2g}%" if share < _FEW else f"{share:.0%}"
