"""Shows a replay on the terminal, and as Markdown on the dashboard."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.table import Table

from loraflow.replay.inputs import InputDifference
from loraflow.replay.outputs import Step

_HEAD = ("stage", "files", "outputs", "what differs")


@dataclass(frozen=True)
class Replay:
    """What became of an experiment that was run again."""

    run: str  # id in MLflow
    inputs: InputDifference | None  # None: every stage depends on the same as before
    steps: list[Step] = field(default_factory=list)  # empty: it would be another experiment
    notes: list[str] = field(default_factory=list)  # commit and libraries that are others
    hardware: list[str] = field(default_factory=list)

    @property
    def is_equal(self) -> bool:
        """Tell whether it ran, and every output that can be compared is the same to the bit."""
        return bool(self.steps) and not any(step.differing for step in self.steps)


def replay_markdown(replay: Replay) -> str:
    """Return the verdict, the table of stages, and what else has changed."""
    lines = [verdict(replay), ""]
    if replay.steps:
        lines += [f"| {' | '.join(_HEAD)} |", "| --- | ---: | --- | --- |"]
        lines += [
            f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in _cells(step))} |"
            for step in replay.steps
        ]
    return "\n".join([*lines, "", *(f"- {note}" for note in _notes(replay))]).strip()


def show_replay(replay: Replay, places: Mapping[str, str]) -> None:
    """Print it, and `places` (label -> where)."""
    console = Console()
    if replay.steps:
        table = Table(title=f"Run {replay.run}, run again", show_lines=False)
        for name in _HEAD:
            table.add_column(name, justify="right" if name == "files" else "left")
        for step in replay.steps:
            table.add_row(*_cells(step))
        console.print(table, markup=False)
    console.print(verdict(replay), markup=False, highlight=False)
    for note in _notes(replay):
        console.print(f"* {note}", markup=False, highlight=False)
    for label, where in places.items():
        console.print(f"{label:<12}", where, soft_wrap=True, highlight=False, markup=False)


def verdict(replay: Replay) -> str:
    """Say in a sentence whether the replay is the recorded experiment."""
    if not replay.steps and replay.inputs is not None:
        return (
            f"Not run again: {replay.inputs.stage} would do something else "
            f"({'; '.join(replay.inputs.reasons)})."
        )
    compared = [step for step in replay.steps if step.files]
    if replay.is_equal:
        files = sum(step.files for step in compared)
        return f"Equal: all {files} files of {len(compared)} stages are the same to the bit."
    first = next(step for step in replay.steps if step.differing)
    return f"It differs first in {first.name}: {'; '.join(first.details)}."


def _notes(replay: Replay) -> Iterator[str]:
    if replay.steps and replay.inputs is not None:
        yield (
            f"{replay.inputs.stage} has other code than the recorded one: "
            f"{'; '.join(replay.inputs.reasons)}"
        )
    yield from replay.notes
    for change in replay.hardware:
        yield f"{change}; results may be rounded otherwise"
    if left := [step.name for step in replay.steps if not step.files]:
        yield f"no digests were recorded, by an older version, of {', '.join(left)}"


def _cells(step: Step) -> tuple[str, ...]:
    if not step.files:
        return step.name, "-", "not compared", ""
    told = "; ".join(step.details) or ", ".join(step.differing)
    return step.name, str(step.files), "differs" if step.differing else "equal", told
