"""The steps that every row passes: what each one is for, and how many rows it let through."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from loraflow.data.operators.table import ROW_OPERATORS, SET_OPERATORS
from loraflow.data.report.histogram import Tick, round_ticks
from loraflow.data.report.set_aside import Reason

_TICKS = 5  # about, on the axis of the rows read
_OTHERS = {  # steps that are no operator of data.clean, and what those do that they catch
    "file": "The packed file is damaged from here on.",
    "encoding": "The bytes are not UTF-8.",
    "json": "The text is not JSON.",
    "csv": "The line does not have the cells of a table.",
    "schema": "The columns do not fit the layout.",
    "unicode_text": "The text holds half a character.",
    "leak": "The row gives away a held-out row or a test question.",
    "template": "The chat template cannot show the conversation.",
    "max_length": "The row has more tokens than the model is given.",
    "nothing_learned": "No token of the row would be learned.",
    "undesirable": "The answer is marked as a bad one: not to be imitated.",
    "not_a_pair": "The row has no better and worse answer, as train.task=preference needs them.",
    "not_raw_text": "The row is no raw text, as train.task=text reads it.",
    "not_labelled": "The row has no label, as train.task=classify learns it.",
    "unknown_label": "The held-out row has a label that no training row has.",
}


@dataclass(frozen=True)
class Step:
    """A step with the rows that came in, and what it did to them."""

    name: str
    rows_in: int
    edited: int
    rejected: int

    @property
    def rows_out(self) -> int:
        """Rows that went on."""
        return self.rows_in - self.rejected


@dataclass(frozen=True)
class Funnel:
    """All steps: those before the split, those after it, and those that did nothing."""

    cleaning: Sequence[Step]
    fitting: Sequence[Step]
    quiet: Sequence[str]
    ticks: Sequence[Tick]  # in percent of the rows read
    tick_percent: float

    @property
    def most_rejected(self) -> int:
        """Rows that the strictest step set aside."""
        return max((step.rejected for step in (*self.cleaning, *self.fitting)), default=0)

    @property
    def most_edited(self) -> int:
        """Rows that the busiest step edited."""
        return max((step.edited for step in (*self.cleaning, *self.fitting)), default=0)

    @property
    def edited(self) -> dict[str, int]:
        """Edited rows by step."""
        return {step.name: step.edited for step in self.cleaning}


def describe_steps() -> dict[str, str]:
    """Return what each step is for, in a sentence."""
    operators = ROW_OPERATORS | SET_OPERATORS
    texts = {name: operator.__doc__ or "" for name, operator in operators.items()}
    return _OTHERS | {name: text.partition("\n")[0] for name, text in texts.items()}


def build_funnel(
    steps: Sequence[Mapping[str, Any]],
    counts: Mapping[str, int],
    *,
    fit: Sequence[Reason],
    cut: int,
) -> Funnel:
    """Put the steps of `prepare` in a row with those of `tokenize`, which come after the split.

    Args:
        steps: the "funnel" of prepare's result.
        counts: the "counts" of prepare's result.
        fit: what `tokenize` set aside.
        cut: rows that `tokenize` cut to fit.
    """
    cleaning = [
        Step(step["operator"], step["rows_in"], step["edited"], step["rejected"]) for step in steps
    ]
    busy = [step for step in cleaning if step.edited or step.rejected]
    read = max(1, counts["read"])
    ticks = round_ticks(read, _TICKS)
    return Funnel(
        cleaning=busy,
        fitting=_fitting(counts["train"] + counts["held_out"], fit, cut),
        quiet=[step.name for step in cleaning if step not in busy],
        ticks=[Tick(100 * value / read, f"{value:,}") for value in ticks],
        tick_percent=100 * ticks.step / read,
    )


def _fitting(rows: int, fit: Sequence[Reason], cut: int) -> list[Step]:
    rejected = {reason.operator: reason.rows for reason in fit}
    names = sorted(rejected, key=lambda name: name == "max_length")  # it is the last
    if cut and "max_length" not in names:
        names.append("max_length")
    steps = []
    for name in names:
        step = Step(name, rows, cut if name == "max_length" else 0, rejected.get(name, 0))
        steps.append(step)
        rows = step.rows_out
    return steps
