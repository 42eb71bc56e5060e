"""Marks what differs between two texts: by words, and by characters inside changed passages."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from markupsafe import Markup

from loraflow.page.text import spell_edges, spell_unseen

_MOST_WORDS = 1_500  # compared from where two texts first differ
_FINEST = 300  # characters of a changed passage, up to which it is compared by characters
_SIMILAR = 0.4  # share of characters in common, from which characters are compared
_SHORTEST_SAME = 3  # characters; what is shorter between two changes belongs to them
_CONTEXT = 60  # characters shown before and behind a change
_MOST_CHANGES = 20  # shown of two texts
_LONGEST_CHANGE = 400  # characters shown of a change

_WORDS = re.compile(r"[^\W\d_\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff]+|\d+|.", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Change:
    """A passage of two texts: the same in both, or what became of it."""

    old: str
    new: str

    @property
    def same(self) -> bool:
        """Tell whether nothing changed."""
        return self.old == self.new


def compare(old: str, new: str) -> list[Change]:
    """Return the passages of two texts in order.

    Of texts that differ over thousands of words only the beginning is compared.
    """
    before, after = _WORDS.findall(old), _WORDS.findall(new)
    head = _shared(before, after)
    tail = _shared(before[head:][::-1], after[head:][::-1])
    changes = [
        _same(before[:head]),
        *_by_words(before[head : len(before) - tail], after[head : len(after) - tail]),
        _same(before[len(before) - tail :]),
    ]
    return list(_joined(change for change in changes if change.old or change.new))


def mark_old(changes: Sequence[Change]) -> Markup:
    """Return the older text, what is gone marked."""
    return _mark(changes, lambda change: _tagged("del", change.old))


def mark_new(changes: Sequence[Change]) -> Markup:
    """Return the newer text, what is new marked."""
    return _mark(changes, lambda change: _tagged("ins", change.new))


def mark_both(changes: Sequence[Change]) -> Markup:
    """Return one text in which what is gone and what is new are marked."""
    return _mark(changes, lambda change: _tagged("del", change.old) + _tagged("ins", change.new))


def _same(words: Sequence[str]) -> Change:
    text = "".join(words)
    return Change(text, text)


def _shared(before: Sequence[str], after: Sequence[str]) -> int:
    pairs = enumerate(zip(before, after, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(before), len(after)))


def _by_words(before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    changes = list(_matched(before[:_MOST_WORDS], after[:_MOST_WORDS]))
    cut = max(len(before), len(after)) > _MOST_WORDS
    if cut and not changes[-1].same and len(changes) > 1:
        changes.pop()  # the other half of this change may lie behind the cut
    for change in changes:
        if change.same or not _is_similar(change):
            yield change
        else:
            yield from _matched(change.old, change.new)
    if cut:
        yield _same([" […] "])


def _is_similar(change: Change) -> bool:
    """Tell whether a changed passage is worth to be compared by characters."""
    if max(len(change.old), len(change.new)) > _FINEST:
        return False
    ratio = SequenceMatcher(None, change.old, change.new, autojunk=False).ratio()
    return ratio >= _SIMILAR


def _matched(before: Sequence[str], after: Sequence[str]) -> Iterator[Change]:
    matcher = SequenceMatcher(None, before, after, autojunk=False)
    for _, low, high, new_low, new_high in matcher.get_opcodes():
        yield Change("".join(before[low:high]), "".join(after[new_low:new_high]))


def _joined(changes: Iterable[Change]) -> Iterator[Change]:
    """Join neighbours of a kind; a few equal characters between two changes are no island."""
    pending: list[Change] = []
    for change in changes:
        if change.same and len(change.old) >= _SHORTEST_SAME:
            yield from _flushed(pending)
            pending = []
            yield change
        else:
            pending.append(change)
    yield from _flushed(pending)


def _flushed(pending: list[Change]) -> Iterator[Change]:
    first = next((n for n, change in enumerate(pending) if not change.same), len(pending))
    last = len(pending) - next(
        (n for n, change in enumerate(pending[::-1]) if not change.same), len(pending) - first
    )
    yield from pending[:first]
    middle = pending[first:last]
    if middle:
        yield Change("".join(part.old for part in middle), "".join(part.new for part in middle))
    yield from pending[last:]


def _mark(changes: Sequence[Change], changed: Callable[[Change], Markup]) -> Markup:
    places = [n for n, change in enumerate(changes) if not change.same]
    end = len(changes) if len(places) <= _MOST_CHANGES else places[_MOST_CHANGES]
    parts = [
        _context(change.old, behind=n > 0, before=n < len(changes) - 1)
        if change.same
        else changed(change)
        for n, change in enumerate(changes[:end])
    ]
    if end < len(changes):
        parts.append(f" … (+{len(places) - _MOST_CHANGES:,} changes)")
    return Markup().join(parts)


def _context(text: str, *, behind: bool, before: bool) -> str:
    """Keep what stands near a change: the start of `text` behind one, its end before one."""
    text = spell_unseen(text)
    head = _CONTEXT if behind else 0
    tail = _CONTEXT if before else 0
    if not head and not tail:  # nothing changed at all
        tail = 4 * _CONTEXT
        return text if len(text) <= tail else f"{text[:tail]} …"
    if len(text) <= head + tail + _CONTEXT:
        return text
    return f"{text[:head]} … {text[len(text) - tail :]}"


def _tagged(tag: str, text: str) -> Markup:
    if not text:
        return Markup()
    if len(text) > _LONGEST_CHANGE:
        text = f"{text[:_LONGEST_CHANGE]} … (+{len(text) - _LONGEST_CHANGE:,} characters)"
    kind = Markup(' class="gap"') if text.isspace() else ""  # a line through a dot would hide it
    return Markup(f"<{tag}{{}}>{{}}</{tag}>").format(kind, spell_edges(text))
