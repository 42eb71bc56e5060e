"""Keeps rows with the same prompt on the same side, by a hash and not by their position."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from loraflow.data.records import Record


@dataclass(frozen=True)
class Split:
    """Records by use."""

    train: list[Record]
    held_out: list[Record]
    unused: list[Record]  # beyond the number of training rows asked for


def split_records(
    records: Sequence[Record], *, held_out_rows: int, train_rows: int | None, seed: int
) -> Split:
    """Split by prompt: groups of rows with one normalized prompt never straddle the two sides.

    A group's place follows from a hash of its prompt and the seed, not from its position, so rows
    added to a file do not shuffle the others, though new groups may take places on the held-out
    side. That side ends before the first group that would overfill it, so it may be a little
    smaller than asked for.
    """
    groups: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        groups[_normalized_prompt(record)].append(record)
    train: list[Record] = []
    held_out: list[Record] = []
    full = False
    for prompt in sorted(groups, key=lambda prompt: _place(prompt, seed)):
        group = groups[prompt]
        if len(group) > held_out_rows:  # never fits, whatever else there is
            train.extend(group)
            continue
        full = full or len(held_out) + len(group) > held_out_rows
        (train if full else held_out).extend(group)
    limit = len(train) if train_rows is None else train_rows
    return Split(train[:limit], held_out, train[limit:])


def _normalized_prompt(record: Record) -> str:
    """Letters and digits of all the prompt's messages, in lower case."""
    text = "\n".join(message["content"] for message in record.prompt)
    return "".join(character for character in text.casefold() if character.isalnum())


def _place(prompt: str, seed: int) -> str:
    return hashlib.sha256(f"{seed} {prompt}".encode()).hexdigest()
