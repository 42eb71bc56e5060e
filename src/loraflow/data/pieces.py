"""Tokenizes the pieces of a conversation so that cutting it changes no token."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from loraflow.model.tokenizer import Tokenizer

# Text that is tokenized apart stands behind one of these, since SentencePiece puts a space before
# whatever stands first.
ANCHORS = ("\n", ":")


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a rendered conversation."""

    text: str
    learned: bool = False


def tokenize(
    tokenizer: Tokenizer, conversations: Sequence[Sequence[Piece]]
) -> list[list[list[int]]]:
    """Return the tokens of each piece of each conversation.

    A piece is tokenized behind the one before it, so that cutting changes no token, unless the
    tokenizer would merge across the cut.
    """
    joints = [list(_joints(pieces)) for pieces in conversations]
    texts = {text for row in joints for before, piece in row for text in (before, before + piece)}
    ids = dict(zip(texts, _ids(tokenizer, list(texts)), strict=True))
    return [
        [_behind(tokenizer, ids[before], ids[before + piece], piece) for before, piece in row]
        for row in joints
    ]


def tokenize_apart(tokenizer: Tokenizer, text: str, anchors: Sequence[str] = ANCHORS) -> list[int]:
    """Return the tokens of `text`, the same ones wherever it stands."""
    for anchor in anchors:
        before, both = _ids(tokenizer, [anchor, anchor + text])
        if both[: len(before)] == before:
            return both[len(before) :]
    return _ids(tokenizer, [text])[0]


def _joints(pieces: Sequence[Piece]) -> Iterator[tuple[str, str]]:
    """Yield each piece behind the last text before it."""
    before = ""
    for piece in pieces:
        yield before, piece.text
        before = piece.text or before


def _behind(tokenizer: Tokenizer, before: list[int], both: list[int], piece: str) -> list[int]:
    if both[: len(before)] == before:
        return both[len(before) :]
    return tokenize_apart(tokenizer, piece)


def _ids(tokenizer: Tokenizer, texts: list[str]) -> list[list[int]]:
    if not texts:
        return []
    ids: list[list[int]] = tokenizer(
        texts, add_special_tokens=False, return_attention_mask=False, verbose=False
    )["input_ids"]
    return ids
