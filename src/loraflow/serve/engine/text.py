"""Turns tokens into text as they come, and finds texts that end an answer."""

from collections.abc import Sequence

from loraflow.model.tokenizer import Tokenizer

_HALF = "\ufffd"  # what a tokenizer makes of the first bytes of a character


class TextStream:
    """The text of an answer in pieces that, joined, are what `tokenizer.decode` makes, stripped."""

    def __init__(self, tokenizer: Tokenizer, stop: Sequence[str]) -> None:
        """Read tokens of `tokenizer`; the answer ends before the first of the texts `stop`."""
        self._tokenizer = tokenizer
        self._stop = stop
        self._tokens: list[int] = []
        self._shown, self._read = 0, 0  # tokens: those before `shown` are text for good
        self._held = ""  # text that may turn out to be a space at the end, or a stop
        self._begun = False
        self.stopped = False

    def add(self, token: int) -> str:
        """Return what text is sure with another token."""
        self._tokens.append(token)
        before = self._decode(self._shown, self._read)
        text = self._decode(self._shown, len(self._tokens))
        if text.endswith(_HALF) or len(text) <= len(before):
            return ""
        self._shown, self._read = self._read, len(self._tokens)
        return self._release(text[len(before) :])

    def end(self) -> str:
        """Return what was held back, when no token comes any more."""
        if self.stopped:
            return ""
        before = self._decode(self._shown, self._read)
        rest = self._held + self._decode(self._shown, len(self._tokens))[len(before) :]
        return (rest if self._begun else rest.lstrip()).rstrip()

    def _decode(self, start: int, end: int) -> str:
        text: str = self._tokenizer.decode(self._tokens[start:end], skip_special_tokens=True)
        return text

    def _release(self, new: str) -> str:
        """Hold back what may be the beginning of a stop, and spaces that may be the end."""
        text = self._held + new
        if not self._begun:
            text = text.lstrip()
        found = [at for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            self.stopped = True
            text = text[: min(found)]
            return text.rstrip()
        sure = len(text) - max((_overlap(text, stop) for stop in self._stop), default=0)
        sure = len(text[:sure].rstrip())
        self._held = text[sure:]
        self._begun = self._begun or sure > 0
        return text[:sure]


def _overlap(text: str, stop: str) -> int:
    """Return how much of the end of `text` is the beginning of `stop`."""
    sizes = range(min(len(text), len(stop) - 1), 0, -1)
    return next((size for size in sizes if text.endswith(stop[:size])), 0)
