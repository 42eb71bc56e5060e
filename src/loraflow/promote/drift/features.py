"""What of the rows is watched for drift: a feature is a table of rows by bins.

Nothing here needs a model: lengths, languages, words and sources are counted.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from loraflow.data.report.composition import language_name
from loraflow.data.report.samples import spread
from loraflow.data.shingles import words
from loraflow.data.tables import Row, as_row, count_rows, read_batches

_SAMPLED = 5_000  # rows of each file, spread over it: a share is off by 1.4% at most, mostly
_BINS = 10  # of a length: as many rows of the reference in each
_WORDS = 200  # the commonest of both files; all others are one bin
_DIGITS = re.compile(r"\d+")

Values = Sequence[Any]
"""What a feature is of each row."""


@dataclass(frozen=True)
class Table:
    """How often each row falls into each bin; the rows of the reference come first."""

    counts: Any  # sparse, (rows, bins)
    bins: Sequence[str]  # names
    before: float | None = None  # median of a length in the reference
    now: float | None = None


@dataclass(frozen=True)
class Looks:
    """What is measured of the rows of one file."""

    question_characters: Values
    answer_characters: Values
    question_language: Values
    answer_language: Values
    vocabulary: Values  # words of a row, counted
    sources: Values


def look_at(path: Path) -> Looks:
    """Measure rows spread over a file of kept records, holding a piece of it at a time."""
    seen = [_seen(row) for row in _sampled(path)]
    return Looks(*zip(*seen, strict=True)) if seen else Looks(*[()] * 6)


def tabulate(feature: str, before: Values, now: Values) -> Table:
    """Sort the values of both files into the bins of the feature."""
    return TABLES[feature](before, now)


def _sampled(path: Path) -> Iterator[Row]:
    wanted = spread(np.arange(count_rows(path)), _SAMPLED)
    first = 0
    for batch in read_batches(path):
        inside = wanted[(wanted >= first) & (wanted < first + batch.num_rows)] - first
        yield from map(as_row, batch.take(inside).to_pylist())
        first += batch.num_rows


def _seen(row: Row) -> tuple[int, int, str, str, Mapping[str, int], str]:
    question, answer = row.record.question, row.record.answer
    return (
        len(question),
        len(answer),
        language_name(question),
        language_name(answer),
        Counter(words(question) + words(answer)),
        # "chats-2026-11-26.jsonl" and that of the day before are of one kind
        _DIGITS.sub("#", row.source),
    )


def _lengths(before: Values, now: Values) -> Table:
    """Sort into the reference's deciles, and what is shorter or longer than all of it."""
    known, lengths = np.asarray(before), np.asarray([*before, *now])
    inner = np.quantile(known, np.arange(1, _BINS) / _BINS, method="lower")
    edges = np.unique([known.min() - 1, *inner, known.max()])  # the upper end of each bin
    names = [
        f"up to {edges[0]:,}",
        *(f"{low + 1:,} to {high:,}" for low, high in pairwise(edges)),
        f"more than {edges[-1]:,}",
    ]
    counts = _one_each(np.searchsorted(edges, lengths, side="left"), len(names))
    return Table(counts, names, float(np.median(known)), float(np.median(now)))


def _categories(before: Values, now: Values) -> Table:
    values = [*before, *now]
    names = sorted(set(values))
    place = {name: at for at, name in enumerate(names)}
    return Table(_one_each(np.array([place[value] for value in values]), len(names)), names)


def _vocabulary(before: Values, now: Values) -> Table:
    """Count the commonest words, each row its own, and all others together."""
    rows = [*before, *now]
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row)
    names = [word for word, _ in sorted(total.items(), key=lambda item: (-item[1], item[0]))]
    names = [*names[:_WORDS], "all other words"]
    place = {word: at for at, word in enumerate(names[:-1])}
    found = [
        (number, place.get(word, len(names) - 1), count)
        for number, row in enumerate(rows)
        for word, count in row.items()
    ]
    numbers, places, counts = np.array(found, dtype=np.int64).reshape(-1, 3).T
    return Table(csr_matrix((counts, (numbers, places)), (len(rows), len(names))), names)


def _one_each(bins: NDArray[Any], count: int) -> Any:
    rows = len(bins)
    return csr_matrix((np.ones(rows), (np.arange(rows), bins)), (rows, count))


TABLES: Mapping[str, Callable[[Values, Values], Table]] = {
    "question_characters": _lengths,
    "answer_characters": _lengths,
    "question_language": _categories,
    "answer_language": _categories,
    "vocabulary": _vocabulary,
    "sources": _categories,
}
