"""The data that needs no file: texts that come with every Python, by the layout naming them."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from loraflow.config import DataConfig
from loraflow.data.read.pydoc import hash_standard_library, read_pydoc
from loraflow.data.read.pydoc_topics import hash_topics, read_topics

NumberedRow = tuple[int, dict[str, str]]  # place in the source, counted from 1, and columns


@dataclass(frozen=True, slots=True)
class BuiltIn:
    """A source that is always there."""

    name: str  # as reports and rejected rows call it
    layout: str  # what its rows are
    rows: Callable[[DataConfig], Iterator[NumberedRow]]
    digest: Callable[[], str]  # of its content


def _docstrings(data: DataConfig) -> Iterator[NumberedRow]:
    yield from enumerate(read_pydoc(data.instruction or ""), start=1)


def _topics(_: DataConfig) -> Iterator[NumberedRow]:
    yield from read_topics()


BUILT_IN: dict[str, BuiltIn] = {
    "pydoc": BuiltIn("the Python standard library", "alpaca", _docstrings, hash_standard_library),
    "pydoc_topics": BuiltIn("Python's pydoc_data/topics.py", "text", _topics, hash_topics),
}
