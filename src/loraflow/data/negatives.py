"""Makes worse answers, so that question and answer data can train by preference (DPO)."""

import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from loraflow.data.shingles import UNSPACED, normalized
from loraflow.data.tables import RECORDS, ROWS_AT_ONCE, Row, TableWriter, read_rows

_KEPT_SHARE = (0.3, 0.6)  # of an answer that is cut short
_LEAST_UNITS = 3  # sentences or words; fewer cannot be cut or shuffled to something worse
_SENTENCES = re.compile(r"(?:[^。！？!?\n.]|\.(?!\s|$))+(?:[。！？!?\n.]+|$)\s*")
_WORDS = re.compile(rf"[{UNSPACED}]\s*|[^\s{UNSPACED}]+\s*")
_UNFIT = ("text", "kto")  # kinds of rows
_NEIGHBOURS = 5  # similar questions looked at for an answer that is another one
_QUESTIONS_AT_ONCE = 512

Maker = Callable[[Row, random.Random], str | None]


def add_negatives(kinds: Sequence[str], out: Path) -> dict[str, int]:
    """Give every row of both sides a rejected answer of one of `kinds`; count them by kind.

    A row that has one already keeps it. A row for which no kind yields a worse answer, and one
    without a question or with an answer that may be bad itself (KTO), stays as it is and is counted
    as "none". Each side draws from its own rows only, so that nothing leaks.
    The choices depend on the rows alone: the same rows get the same negatives.
    """
    counts: Counter[str] = Counter()
    if not kinds:
        return {}
    for name in ("train", "held_out"):
        path = out / f"{name}.parquet"
        rows = list(read_rows(path))
        makers = {kind: _MAKERS[kind](rows) for kind in kinds}
        with TableWriter.writing(path, RECORDS) as table:
            for start in range(0, len(rows), ROWS_AT_ONCE):
                piece = rows[start : start + ROWS_AT_ONCE]
                table.add([_with_negative(row, makers, counts).as_columns() for row in piece])
    return dict(counts)


def _with_negative(row: Row, makers: dict[str, Maker], counts: Counter[str]) -> Row:
    if row.record.rejected is not None:
        counts["given"] += 1
        return row
    chance = random.Random(row.id)
    kinds = [] if row.record.kind in _UNFIT else list(makers)
    chance.shuffle(kinds)
    for kind in kinds:
        worse = makers[kind](row, chance)
        if worse is not None and normalized(worse) != normalized(row.record.answer):
            counts[kind] += 1
            record = replace(row.record, kind="preference", rejected=worse)
            return replace(row, record=record, id=record.id)
    counts["none"] += 1
    return row


def _choices(_: Sequence[Row]) -> Maker:
    """Take a wrong option of a multiple choice, in the form of the right one."""

    def make(row: Row, chance: random.Random) -> str | None:
        wrong = [line for line in row.record.option_lines if line != row.record.answer]
        return chance.choice(wrong) if wrong else None

    return make


def _truncated(_: Sequence[Row]) -> Maker:
    """Stop the answer in the middle."""

    def make(row: Row, chance: random.Random) -> str | None:
        units = _WORDS.findall(row.record.answer)
        if len(units) < _LEAST_UNITS:
            return None
        kept = max(1, round(len(units) * chance.uniform(*_KEPT_SHARE)))
        return "".join(units[:kept]).rstrip()

    return make


def _shuffled(_: Sequence[Row]) -> Maker:
    """Put the answer's sentences, or the words of a single one, into another order."""

    def make(row: Row, chance: random.Random) -> str | None:
        units = _SENTENCES.findall(row.record.answer)
        if len(units) < _LEAST_UNITS:
            units = _WORDS.findall(row.record.answer)
        if len(units) < _LEAST_UNITS:
            return None
        glue = " " if any(unit[-1].isspace() for unit in units) else ""
        mixed = chance.sample(units, len(units))
        if mixed == units:
            mixed.reverse()
        return glue.join(unit.strip() for unit in mixed)

    return make


def _similar(rows: Sequence[Row]) -> Maker:
    """Take the answer to the most similar question that is another one.

    Similarity is the cosine of TF-IDF over pairs and triples of characters, which needs no word
    boundaries. All rows are in memory, and the time grows with their square: about 100,000 rows
    are the end of it.
    """
    neighbours = _nearest([row.record.question for row in rows])
    position = {row.id: number for number, row in enumerate(rows)}

    def make(row: Row, chance: random.Random) -> str | None:
        own = normalized(row.record.question)
        for number in neighbours[position[row.id]]:
            other = rows[number].record
            same_answer = normalized(other.answer) == normalized(row.record.answer)
            if normalized(other.question) != own and not same_answer:
                return other.answer
        return None

    return make


def _nearest(questions: Sequence[str]) -> list[list[int]]:
    """Return for each question the others most similar to it, the nearest first."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - a second

    if not any(map(str.strip, questions)):
        return [[] for _ in questions]
    vectors = TfidfVectorizer(analyzer="char", ngram_range=(2, 3), dtype=np.float32)
    try:
        matrix = vectors.fit_transform(questions)
    except ValueError:  # no question has two characters
        return [[] for _ in questions]
    found: list[list[int]] = []
    for start in range(0, len(questions), _QUESTIONS_AT_ONCE):
        close = (matrix[start : start + _QUESTIONS_AT_ONCE] @ matrix.T).toarray()
        for number, similarities in enumerate(close, start=start):
            similarities[number] = -1
            count = min(_NEIGHBOURS, len(questions) - 1)
            order = np.argsort(-similarities, kind="stable")[:count]
            found.append([int(other) for other in order if similarities[other] > 0])
    return found


_MAKERS: dict[str, Callable[[Sequence[Row]], Maker]] = {
    "choices": _choices,
    "similar": _similar,
    "truncated": _truncated,
    "shuffled": _shuffled,
}
