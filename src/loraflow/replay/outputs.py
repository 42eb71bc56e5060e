"""Compares the outputs of stages that ran again with the digests that were recorded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraflow.files import HISTORY, ITEMS, read_lines
from loraflow.replay.weights import compare_weights
from loraflow.store import Key, Store
from loraflow.tracking.recorded import Recorded

_PACE = "train/tokens_per_second"  # is another in two runs of anything
_LAST = "train"  # the training whose outcome MLflow has
_SHOWN = 80  # characters of a value

FetchTrained = Callable[[], Path]
"""Returns a folder with what the last training of the recorded run has left."""


@dataclass(frozen=True)
class Step:
    """A stage that ran again."""

    name: str
    files: int  # that were compared. 0: no digests were recorded
    differing: tuple[str, ...] = ()  # files
    details: tuple[str, ...] = ()  # what differs in them, as far as can be told


def compare_outputs(
    recorded: Recorded, stages: Mapping[str, Key], store: Store, fetch_trained: FetchTrained
) -> list[Step]:
    """Return a step for each stage, in the order they run in.

    Details are told of the first that differs; what follows differs because of it.
    """
    steps: list[Step] = []
    for name, key in stages.items():
        pair = _Pair(recorded, name, store.folder(key), store.result(key), fetch_trained)
        differing = tuple(pair.differing_files())
        is_first = not any(step.differing for step in steps)
        details = tuple(pair.details(differing)) if is_first else ()
        steps.append(Step(name, pair.files, differing, details))
    return steps


class _Pair:
    """What a stage left then, and what it has left now."""

    def __init__(
        self,
        recorded: Recorded,
        name: str,
        folder: Path,
        result: Mapping[str, Any],
        fetch_trained: FetchTrained,
    ) -> None:
        self._recorded = recorded
        self._name = name
        self._folder = folder
        self._before = recorded.results.get(name, {})
        self._now = result
        self._fetch_trained = fetch_trained

    @property
    def files(self) -> int:
        return len(self._before.get("digests", ()))

    def differing_files(self) -> Iterator[str]:
        """Yield files whose content is another; of a history, only pace may be."""
        if not self.files:
            return
        before, now = self._before["digests"], self._now["digests"]
        for file in sorted({*before, *now}):
            is_same = before.get(file) == now.get(file)
            if not is_same and (file != HISTORY or self._first_step() is not None):
                yield file

    def details(self, differing: tuple[str, ...]) -> Iterator[str]:
        """Yield what is known of each file that differs."""
        for file in differing:
            if file not in self._now["digests"]:
                yield f"{file} is missing"
            elif file not in self._before["digests"]:
                yield f"{file} is new"
            elif file == HISTORY:
                yield f"{file}: {self._first_step()}"
            elif file == ITEMS:
                yield f"{file}: {self._items()}"
            elif file.endswith(".safetensors") and self._name == _LAST:
                recorded = self._fetch_trained() / file
                yield f"{file}: {compare_weights(recorded, self._folder / file)}"
            else:
                yield f"{file}: another content{self._counts()}"

    def _first_step(self) -> str | None:
        """Return where two trainings part."""
        before, now = self._recorded.history(self._name), read_lines(self._folder / HISTORY)
        for old, new in zip(before, now, strict=False):
            for name in dict.fromkeys([*old, *new]):
                if name != _PACE and old.get(name) != new.get(name):
                    return f"{name} at step {old['step']}: {old.get(name)} -> {new.get(name)}"
        if len(before) != len(now):
            return f"{len(before)} -> {len(now)} lines"
        return None

    def _items(self) -> str:
        """Say how many items differ, and how one does."""
        before = {row["id"]: row for row in self._recorded.items(self._name)}
        now = {row["id"]: row for row in read_lines(self._folder / ITEMS)}
        differing = [id_ for id_ in {**before, **now} if before.get(id_) != now.get(id_)]
        if not differing:
            return "another order of items, or another notation"
        first = differing[0]
        old, new = before.get(first, {}), now.get(first, {})
        fields = [name for name in {**old, **new} if old.get(name) != new.get(name)]
        change = f"{_short(old.get(fields[0]))} -> {_short(new.get(fields[0]))}"
        return f"{len(differing)} of {len(before)} items; item {first}, {fields[0]}: {change}"

    def _counts(self) -> str:
        before, now = self._before["counts"], self._now["counts"]
        changes = [
            f"{name} {before.get(name)} -> {now.get(name)}"
            for name in {**before, **now}
            if before.get(name) != now.get(name)
        ]
        return f" ({', '.join(changes)})" if changes else ""


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
