"""Turns multiple-choice questions into records: MedQA, MMLU, ARC, CMB, tables with A, B, C, D.

The question is followed by a line for each option ("A. 阿司匹林"); the answer is the right one's
line, the label its letter. Options are lettered by place: one without text is left out, and those
behind it move up.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from string import ascii_uppercase
from typing import Any

from loraflow.data.read.fields import Item, Unfit, first_present, optional_text, required_text
from loraflow.data.read.questions import answer_question
from loraflow.data.records import Record, lettered

Options = list[tuple[str, str]]
"""What the file calls an option, and its text."""

_FEWEST, _MOST = 2, len(ascii_uppercase)
_OPTIONS = "options as list, by letter, one a line, or in columns A, B, ..."
_BEFORE = "(（"
_BEHIND = ".、．:：)）"
_LETTERED = re.compile(rf"[{_BEFORE}]?([A-Z])(?:[{_BEHIND}]|\s)\s*(\S.*)", re.DOTALL)
_PLACE = re.compile(r"[0-9]{1,2}")


def from_choice(item: Item) -> Record:
    """Convert question, options (or choices), and answer_idx (or answerKey) or answer.

    An index counts from 0. An answer in words is an option's, word for word.
    """
    question = required_text(item, "question")
    options = _read_options(item)
    texts = [text for _, text in options if text]
    if not _FEWEST <= len(texts) <= _MOST:
        raise Unfit(f"{_FEWEST} to {_MOST} options that are not empty")
    right = texts.index(_find_answer(item, options))
    lines = lettered(texts)
    asked = {"role": "user", "content": "\n".join((question, *lines))}
    record = answer_question(item, [asked], lines[right])
    return replace(record, kind="choice", label=ascii_uppercase[right], choices=tuple(texts))


def _read_options(item: Item) -> Options:
    given = first_present(item, "options", "choices")
    if given is None:
        given = {letter: item[letter] for letter in ascii_uppercase if letter in item}
    options = [_read_option(key, text) for key, text in _pair_up(given)]
    return _strip_letters(options)


def _pair_up(given: Any) -> Iterable[tuple[Any, Any]]:
    """Yield what the file calls an option, and the option."""
    match given:
        case {"text": list(texts), "label": list(keys)} if len(texts) == len(keys):
            return zip(keys, texts, strict=True)
        case dict():
            return given.items()
        case list() if len(given) <= _MOST:
            return map(_name_option, ascii_uppercase, given)
        case str():
            return map(_split_line, filter(str.strip, given.split("\n")))
    raise Unfit(_OPTIONS)


def _name_option(letter: str, option: Any) -> tuple[Any, Any]:
    match option:
        case {"key": key, "value": text} | {"label": key, "text": text}:
            return key, text
    return letter, option


def _split_line(line: str) -> tuple[str, str]:
    lettered = _LETTERED.fullmatch(line.strip())
    if lettered is None:
        raise Unfit(_OPTIONS)
    return lettered[1], lettered[2]


def _read_option(key: Any, text: Any) -> tuple[str, str]:
    if not isinstance(key, str):
        raise Unfit(_OPTIONS)
    return key.strip().upper(), optional_text({"an option": text}, "an option").strip()


def _strip_letters(options: Options) -> Options:
    """Take the letters off texts such as "A. 阿司匹林", if every text carries its own."""
    bare = []
    for key, text in options:
        lettered = _LETTERED.fullmatch(text)
        if text and not (lettered and lettered[1] == key):
            return options
        bare.append((key, lettered[2] if lettered else ""))
    return bare


def _find_answer(item: Item, options: Options) -> str:
    """Return the text of the right option; letter and words may both be given, and must agree."""
    letter = first_present(item, "answer_idx", "answer_index", "answerKey")
    words = first_present(item, "answer")
    found = {
        _find_option(letter, options, by=(_by_key, _by_place, _by_text)),
        _find_option(words, options, by=(_by_text, _by_key, _by_place)),
    } - {None}
    match list(found):
        case [str(text)]:
            return text
    raise Unfit("an answer that is one of the options")


def _find_option(
    value: Any, options: Options, *, by: tuple[Callable[[str, Options], str | None], ...]
) -> str | None:
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= len(options):
        value, by = str(value), (_by_key, _by_place)  # 2 is the third option, not the option "2"
    if not isinstance(value, str):
        return None
    wanted = value.strip()
    return next((text for find in by if (text := find(wanted, options))), None)


def _by_text(wanted: str, options: Options) -> str | None:
    return next((text for _, text in options if text == wanted), None)


def _by_key(wanted: str, options: Options) -> str | None:
    lettered = _LETTERED.fullmatch(wanted)
    if lettered and (lettered[1], lettered[2]) in options:
        return lettered[2]
    bare = wanted.strip(f"{_BEFORE}{_BEHIND} ").upper()
    return next((text for key, text in options if key == bare), None)


def _by_place(wanted: str, options: Options) -> str | None:
    if not _PLACE.fullmatch(wanted) or int(wanted) >= len(options):
        return None
    return options[int(wanted)][1]
