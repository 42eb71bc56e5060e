"""Makes answers worse in known ways: pairs whose order needs no human to tell."""

import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from loraflow.evaluate.judge.base import Exchange
from loraflow.evaluate.language import detect_language, words_of

Kind = Literal["wrong_question", "shuffled", "truncated", "empty", "refusal", "repeated"]
KINDS: tuple[Kind, ...] = get_args(Kind)

_REFUSALS = {
    "en": "I'm sorry, but I can't help with that.",
    "zh": "抱歉，我无法回答这个问题。",
    "ja": "申し訳ありませんが、その質問にはお答えできません。",
}
_KEPT_OF_TRUNCATED = 3  # one part in so many
_WORDS_OF_CLAUSE = 3  # at least: "1." is none
_TRIES = 5  # to shuffle two words so that they change places

_WORD = re.compile(r"\S+")
# Where a clause ends. An ASCII mark ends one only before a space: 3.14 is one number.
_CLAUSE_END = re.compile(r"[.!?;,:](?=\s|$)|[\u3002\uff01\uff1f\uff1b\uff0c\uff1a\n]")


@dataclass(frozen=True)
class Pair:
    """A genuine answer and the same one spoilt."""

    kind: Kind
    genuine: Exchange
    spoilt: Exchange


def spoil(rows: Sequence[Exchange], seed: int) -> list[Pair]:
    """Return a pair for each row and each kind of damage, row by row.

    What a row gives depends on the seed, on it and, for `wrong_question`, on the others. A damage
    that changes nothing is left out: an answer of one word cannot be shuffled. A refusal needs the
    language of the answer, so it is left out in scripts other than Latin, Chinese and Japanese.
    """
    pairs = []
    for place, row in enumerate(rows):
        if not row.answers[-1].strip():
            continue
        for kind in KINDS:
            generator = random.Random(f"{seed} {kind} {row.id}")
            spoilt = (
                _of_another(rows, place, generator)
                if kind == "wrong_question"
                else _DAMAGES[kind](row.answers[-1], generator)
            )
            if spoilt is not None and spoilt.strip() != row.answers[-1].strip():
                pairs.append(Pair(kind, row, with_answer(row, spoilt)))
    return pairs


def with_answer(row: Exchange, answer: str) -> Exchange:
    """Return the row with another last answer."""
    return replace(row, answers=(*row.answers[:-1], answer))


def _of_another(rows: Sequence[Exchange], place: int, generator: random.Random) -> str | None:
    """Return the answer to another question, if there is one."""
    others = [
        row.answers[-1]
        for row in rows
        if row.questions != rows[place].questions and row.answers[-1].strip()
    ]
    return generator.choice(others) if others else None


def _shuffled(answer: str, generator: random.Random) -> str | None:
    words = [answer[start:end] for start, end in _words(answer)]
    between = " " if _has_spaces(answer) else ""
    mixed = list(words)
    for _ in range(_TRIES):
        generator.shuffle(mixed)
        if mixed != words:
            return between.join(mixed)
    return None


def _truncated(answer: str, generator: random.Random) -> str | None:
    words = list(_words(answer))
    kept = max(1, len(words) // _KEPT_OF_TRUNCATED)
    return answer[: words[kept - 1][1]] if kept < len(words) else None


def _empty(answer: str, generator: random.Random) -> str:
    return ""


def _refusal(answer: str, generator: random.Random) -> str | None:
    return _REFUSALS.get(detect_language([answer]))


def _repeated(answer: str, generator: random.Random) -> str | None:
    clause = _first_clause(answer)
    times = round(len(answer) / len(clause))
    between = " " if _has_spaces(answer) else ""
    return between.join([clause] * times) if times > 1 else None


def _first_clause(answer: str) -> str:
    """Return the first clause of a few words, or the first third if there are no marks."""
    words = list(_words(answer))
    least = words[min(_WORDS_OF_CLAUSE, len(words)) - 1][1]
    for end in _CLAUSE_END.finditer(answer):
        if end.end() >= least:
            clause = answer[: end.end()].strip()
            if len(clause) < len(answer.strip()):
                return clause
            break
    kept = max(1, len(words) // _KEPT_OF_TRUNCATED)
    return answer[: words[kept - 1][1]].strip()


_DAMAGES: dict[Kind, Callable[[str, random.Random], str | None]] = {
    "shuffled": _shuffled,
    "truncated": _truncated,
    "empty": _empty,
    "refusal": _refusal,
    "repeated": _repeated,
}


def _has_spaces(text: str) -> bool:
    return detect_language([text]) not in ("zh", "ja")


def _words(text: str) -> Iterator[tuple[int, int]]:
    """Yield where words begin and end; Chinese by its dictionary, Japanese by character.

    Between two words of a text without spaces stands punctuation, which is a word here.
    """
    language = detect_language([text])
    lower = text.lower()
    if language not in ("zh", "ja"):
        yield from (match.span() for match in _WORD.finditer(text))
        return
    tokenizer = words_of(language)
    if tokenizer is None or len(lower) != len(text):  # a letter that is two in lower case
        yield from ((place, place + 1) for place in range(len(text)))
        return
    end = 0
    for word in tokenizer.tokenize(text):
        start = lower.index(word, end)
        if text[end:start].strip():
            yield end, start
        end = start + len(word)
        yield start, end
    if text[end:].strip():
        yield end, len(text)
