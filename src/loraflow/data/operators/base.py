"""What every operator on a single row is."""

from typing import ClassVar, Protocol

from pydantic import ConfigDict

from loraflow.data.records import Fault, Record

STRICT = ConfigDict(extra="forbid")


class RowOperator(Protocol):
    """A pure function of a row, its parameters checked when it is made.

    Returns the very same record to keep the row, another to edit it, a fault to set it aside.
    """

    version: ClassVar[int]  # raise it when a change of code changes a decision

    def __call__(self, record: Record) -> Record | Fault:
        """Decide on one row."""
        ...
