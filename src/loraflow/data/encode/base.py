"""What an encoder is, and what it makes of a row."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa

from loraflow.data.records import Fault
from loraflow.data.tables import Row


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of a row: examples to learn from, or the reason why there is none."""

    examples: Sequence[Mapping[str, Any]] = ()  # one, or several windows of a long text
    fault: Fault | None = None  # there is one exactly where there is no example
    tokens: int = 0  # of the longest example, before anything was cut
    cut: bool = False  # something of the row is neither read nor learned
    turns_not_learned: int = 0


class Encoder(ABC):
    """Makes examples of the rows of a task; each has input_ids and labels, and `columns`."""

    columns: ClassVar[Sequence[tuple[str, pa.DataType]]] = ()
    reasons: ClassVar[Mapping[str, str]]  # why a row is set aside -> how it is counted
    advice: ClassVar[Mapping[str, str]] = {}  # why no row of a side is left -> what to do

    @abstractmethod
    def encode(self, rows: Sequence[Row]) -> list[Encoded]:
        """Return what became of each row, in order.

        Raises:
            UserError: if the settings cannot work for any row.
        """

    def end_training_side(self, path: Path) -> None:
        """Take note that all training rows are in `path`; the held-out rows come next."""
        _ = path
