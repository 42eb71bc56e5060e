"""Finds training rows that give away held-out rows or the questions of a benchmark."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from loraflow.config import DataConfig, LeakConfig
from loraflow.data.clean.fingerprints import Rows, digest, prompt_text
from loraflow.data.clean.gather import Gathered
from loraflow.data.read.json_text import parse_json
from loraflow.data.read.own import is_own
from loraflow.data.read.rows import read_raw
from loraflow.data.read.sources import Source, benchmark_files
from loraflow.data.shingles import UNSPACED, normalized, words
from loraflow.data.tables import Row, read_rows
from loraflow.errors import UserError

_FEWEST_WORDS = 5  # of a question that is compared as a whole
_EXAMPLES = 10
_SHOWN = 200  # characters of a shared passage
_BETWEEN_UNSPACED = re.compile(rf"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")


@dataclass(frozen=True)
class Secret:
    """A text that no training row may give away."""

    name: str  # where it stands, for people
    prompt: str  # normalized
    questions: tuple[str, ...]
    answers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Leak:
    """How a training row gives a secret away."""

    found: str
    how: str
    text: str

    def as_value(self) -> dict[str, str]:
        """Return the finding as a rejected row records it."""
        return {"found": self.found, "how": self.how, "text": self.text}


class LeakCheck:
    """Looks for training rows that hold most of a secret's text, by n-grams of words.

    A text counts as given away where one training row has `min_share` of its n-grams (PaLM,
    arXiv:2204.02311, section 8, has 0.7 of 8-grams), or where a message of it is a question that
    is too short for an n-gram. What stands in more than `max_occurrences` training rows is a common
    phrase, such as the instruction of a template, and does not count (GPT-3, arXiv:2005.14165,
    appendix C).
    """

    def __init__(self, settings: LeakConfig, secrets: Iterable[Secret]) -> None:
        """Index the n-grams of all secrets."""
        self._n = settings.ngram
        self._most = settings.max_occurrences
        self._min_share = settings.min_share
        self._owners: list[str] = []  # of each text
        self._grams_of: list[set[str]] = []
        self._texts_with: dict[str, list[int]] = defaultdict(list)
        self._vocabulary: set[str] = set()
        self._hits: dict[str, list[int]] = defaultdict(list)
        for secret in secrets:
            for question in map(words, secret.questions):
                self._index(secret.name, set(self._grams(question)) or _whole(question))
            for answer in map(words, secret.answers):
                self._index(secret.name, set(self._grams(answer)))

    def look_at(self, row: int, texts: Iterable[str]) -> None:
        """Note the n-grams that training row number `row` shares."""
        for parts in map(words, texts):
            grams = self._known_grams(parts) if len(parts) >= self._n else _whole(parts)
            for gram in grams:
                if gram in self._texts_with:
                    rows = self._hits[gram]
                    if len(rows) <= self._most and (not rows or rows[-1] != row):
                        rows.append(row)

    def leaks(self) -> dict[int, Leak]:
        """Return the training rows that leak, each with one of its findings."""
        common = {gram for gram, rows in self._hits.items() if len(rows) > self._most}
        shared: dict[tuple[int, int], list[str]] = defaultdict(list)
        for gram, rows in self._hits.items():
            if gram not in common:
                for text in self._texts_with[gram]:
                    for row in rows:
                        shared[row, text].append(gram)
        found: dict[int, Leak] = {}
        for (row, text), grams in shared.items():
            if len(grams) >= self._min_share * len(self._grams_of[text] - common):
                long = grams[0].count(" ") + 1 >= self._n
                passage = _BETWEEN_UNSPACED.sub("", grams[0])[:_SHOWN]
                how = f"{self._n}-gram" if long else "question"
                found.setdefault(row, Leak(self._owners[text], how, passage))
        return found

    def _index(self, owner: str, grams: set[str]) -> None:
        if not grams:
            return
        for gram in grams:
            self._texts_with[gram].append(len(self._owners))
            self._vocabulary.update(gram.split(" "))
        self._owners.append(owner)
        self._grams_of.append(grams)

    def _grams(self, parts: list[str]) -> Iterator[str]:
        for start in range(len(parts) - self._n + 1):
            yield " ".join(parts[start : start + self._n])

    def _known_grams(self, parts: list[str]) -> Iterator[str]:
        """Yield the n-grams of which the secrets have every word."""
        if self._vocabulary.isdisjoint(parts[self._n - 1 :: self._n]):
            return  # every n-gram has one of these words
        start = 0
        for end, word in enumerate([*parts, ""]):
            if word not in self._vocabulary:
                yield from self._grams(parts[start:end])
                start = end + 1


def _whole(parts: list[str]) -> set[str]:
    """Return a short text as the one thing to look for; a shorter one is anybody's."""
    return {" ".join(parts)} if len(parts) >= _FEWEST_WORDS else set()


def check_leaks(
    data: DataConfig, gathered: Gathered, *, held_out: Rows, others: Rows
) -> tuple[dict[int, Leak], dict[str, Any]]:
    """Compare the other rows with the held-out rows and the benchmarks; summarize for the report.

    Raises:
        UserError: if a row leaks and `data.leak.action` is refuse.
    """
    benchmarks = read_benchmarks(data)
    secrets = [secret for questions in benchmarks.values() for secret in questions]
    secrets += [secret_of(row) for row in gathered.rows(held_out)]
    leaks = _same_prompts(gathered, secrets, held_out, others)
    same_prompt = len(leaks)
    check = LeakCheck(data.leak, secrets)
    for number, texts in gathered.texts(others):
        check.look_at(number, texts)
    leaks = check.leaks() | leaks
    if leaks and data.leak.action == "refuse":
        raise UserError(_refusal(leaks, gathered))
    summary = {
        "action": data.leak.action,
        "checked_rows": len(others),
        "held_out_rows": len(held_out),
        "benchmarks": [
            {"name": name, "questions": len(questions)} for name, questions in benchmarks.items()
        ],
        "ngram": data.leak.ngram,
        "min_share": data.leak.min_share,
        "prompt": same_prompt,
        "ngram_rows": len(leaks) - same_prompt,
        "examples": [
            {"train": gathered.place(row), **leak.as_value()}
            for row, leak in sorted(leaks.items())[:_EXAMPLES]
        ],
    }
    return leaks, summary


def _same_prompts(
    gathered: Gathered, secrets: list[Secret], held_out: Rows, others: Rows
) -> dict[int, Leak]:
    """Find rows that ask the very same; those of one split never do, those of other files may."""
    owners = {digest(secret.prompt): secret for secret in secrets}
    prompts = gathered.digests["prompt"]
    known = np.array(list(owners), np.uint64)
    same = others[np.isin(prompts[others], np.union1d(known, prompts[held_out]))]
    return {
        int(row): Leak(_owner_name(owners.get(int(prompts[row]))), "prompt", "the same prompt")
        for row in same
    }


def _owner_name(secret: Secret | None) -> str:
    return "a held-out row" if secret is None else secret.name


def _refusal(leaks: dict[int, Leak], gathered: Gathered) -> str:
    row, leak = min(leaks.items())
    return (
        f"data.leak.action=refuse: {len(leaks)} training rows give away held-out rows or "
        f"questions of a benchmark; the first: {gathered.place(row)} shares with {leak.found}: "
        f"{leak.text!r}. "
        "Set data.leak.action=remove to leave them out, or mend the data"
    )


def secret_of(row: Row) -> Secret:
    """Return a held-out row as a secret: its questions and its answer, not its system prompt."""
    messages = row.record.messages
    return Secret(
        f"held-out row {row.id}",
        prompt_text(row.record),
        questions=tuple(part["content"] for part in messages if part["role"] == "user"),
        answers=tuple(part["content"] for part in messages if part["role"] == "assistant"),
    )


def read_benchmarks(data: DataConfig) -> dict[str, list[Secret]]:
    """Return the questions of each file of `data.leak.benchmarks`.

    A question is a row with `turns` (as MT-Bench's question.jsonl has them), `question`,
    `instruction` or `prompt`; of a file that this project wrote, a row with its answer.

    Raises:
        UserError: if a file holds none.
    """
    return {source.name: _questions(source) for source in benchmark_files(data)}


def _questions(source: Source) -> list[Secret]:
    if is_own(source.path):
        return [secret_of(row) for row in read_rows(source.path)]
    questions: list[Secret] = []
    for number, raw in read_raw(source.path):
        item = parse_json(raw) if isinstance(raw, str) else raw
        if isinstance(item, Mapping) and (texts := _question_texts(item)):
            name = f"{source.name} question {number}"
            questions.append(Secret(name, normalized(texts[0]), texts))
    if not questions:
        raise UserError(
            f"data.leak.benchmarks={source.path} holds no question; "
            f"its rows need one of {', '.join(_QUESTION_COLUMNS)}"
        )
    return questions


_QUESTION_COLUMNS = ("turns", "question", "instruction", "prompt")


def _question_texts(item: Mapping[str, Any]) -> tuple[str, ...]:
    for column in _QUESTION_COLUMNS:
        value = item.get(column)
        texts = value if isinstance(value, list) else [value]
        if texts and all(isinstance(text, str) and text.strip() for text in texts):
            return tuple(texts)
    return ()
