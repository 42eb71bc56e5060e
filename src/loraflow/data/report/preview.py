"""Shows rows of tokens as the model reads them: whole characters, what is learned, what is not."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from typing import Any

from loraflow.data.template import IGNORED
from loraflow.model.tokenizer import Tokenizer

_SHOWN_WHOLE = 360  # tokens; of longer rows the ends and the start of the first answer are shown
_SHOWN_AT_ENDS = 110
_SHOWN_AROUND_ANSWER = 60  # on either side
_LONGEST_GROUP = 24  # tokens; what decodes to nothing by then is shown as it is
_BROKEN = "\ufffd"


@dataclass(frozen=True)
class Piece:
    """Tokens that make text together: mostly one, several for a character split into bytes."""

    ids: tuple[int, ...]
    text: str
    learned: bool
    special: bool


@dataclass(frozen=True)
class Stretch:
    """Pieces that follow each other, or how many tokens are not shown."""

    pieces: Sequence[Piece]
    left_out: int


@dataclass(frozen=True)
class Preview:
    """A row in pieces, and how its read and learned parts take turns."""

    tokens: int
    learned: int
    turns: Sequence[tuple[bool, int]]  # (learned, tokens)
    stretches: Sequence[Stretch]


def preview(row: Mapping[str, Any], tokenizer: Tokenizer) -> Preview:
    """Return how a row of `input_ids` and `labels` looks to the model."""
    ids, learned = row["input_ids"], [label != IGNORED for label in row["labels"]]
    return Preview(
        tokens=len(ids),
        learned=sum(learned),
        turns=[(turn, len(list(run))) for turn, run in groupby(learned)],
        stretches=list(_stretches(list(_pieces(ids, learned, tokenizer)), learned)),
    )


def _stretches(pieces: Sequence[Piece], learned: Sequence[bool]) -> Iterator[Stretch]:
    """Leave out the middle of what is long."""
    ends = accumulate(len(piece.ids) for piece in pieces)
    shown = [_is_shown(end, learned) for end in ends]
    for is_shown, run in groupby(zip(shown, pieces, strict=True), lambda pair: pair[0]):
        together = [piece for _, piece in run]
        if is_shown:
            yield Stretch(together, 0)
        else:
            yield Stretch([], sum(len(piece.ids) for piece in together))


def _is_shown(place: int, learned: Sequence[bool]) -> bool:
    answer = learned.index(True) if True in learned else 0
    return (
        len(learned) <= _SHOWN_WHOLE
        or place <= _SHOWN_AT_ENDS
        or place > len(learned) - _SHOWN_AT_ENDS
        or abs(place - answer) <= _SHOWN_AROUND_ANSWER
    )


def _pieces(ids: Sequence[int], learned: Sequence[bool], tokenizer: Tokenizer) -> Iterator[Piece]:
    """Group tokens until they decode to whole characters.

    Each group is decoded behind the one before it, since some tokenizers drop a space at the start.
    """
    added = tokenizer.added_tokens_decoder.items()
    special = {*tokenizer.all_special_ids, *(number for number, token in added if token.special)}
    before: tuple[int, ...] = ()
    start = 0
    for end in range(1, len(ids) + 1):
        group = tuple(ids[start:end])
        is_special = group[-1] in special
        border = end == len(ids) or ids[end] in special or learned[end] != learned[end - 1]
        text = _text_behind(before, group, tokenizer)
        if text.endswith(_BROKEN) and not (border or is_special or len(group) == _LONGEST_GROUP):
            continue
        yield Piece(group, text, learned[start], is_special)
        before = () if is_special or _BROKEN in text else group
        start = end


def _text_behind(before: tuple[int, ...], group: tuple[int, ...], tokenizer: Tokenizer) -> str:
    return _decode((*before, *group), tokenizer).removeprefix(_decode(before, tokenizer))


def _decode(ids: Sequence[int], tokenizer: Tokenizer) -> str:
    text: str = tokenizer.decode(
        list(ids), skip_special_tokens=False, clean_up_tokenization_spaces=False
    )
    return text
