"""Compares what the stages of a recorded experiment depended on with what they would today."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from loraflow.check import flatten
from loraflow.store import Key
from loraflow.tracking.recorded import Recorded

_OF_CODE = ("libraries", "operators", "version")  # inputs whose change need not change an output
_SHOWN = 60  # characters of a value


@dataclass(frozen=True)
class InputDifference:
    """The first stage whose key is another, and why."""

    stage: str
    reasons: tuple[str, ...]
    is_code_only: bool  # libraries and stages' code: the outputs may still be the same


def compare_inputs(recorded: Recorded, stages: Mapping[str, Key]) -> InputDifference | None:
    """Return the first stage that differs, in the order they run in; None: all are the same.

    `is_code_only` is of all stages together.
    """
    found = {
        name: list(_differences(recorded, name, key))
        for name, key in stages.items()
        if recorded.stages.get(name) != key.digest
    }
    if gone := [name for name in recorded.stages if name not in stages]:
        found |= {name: [("stages", f"{name} is asked for no more")] for name in gone}
    if not found:
        return None
    first, reasons = next(iter(found.items()))
    kinds = {kind for differences in found.values() for kind, _ in differences}
    return InputDifference(first, tuple(text for _, text in reasons), kinds <= {*_OF_CODE, "reads"})


def _differences(recorded: Recorded, name: str, key: Key) -> Iterator[tuple[str, str]]:
    """Yield the kind of each input that differs, and how."""
    if name not in recorded.results:
        yield "stages", f"{name} was not asked for"
        return
    before = flatten(recorded.results[name]["inputs"])
    now = flatten(json.loads(json.dumps(key.inputs)))  # tuples and such as JSON has them
    for path in dict.fromkeys([*before, *now]):
        if before.get(path) != now.get(path):
            kind, _, rest = path.partition(".")
            yield kind, _explain(kind, rest, before.get(path), now.get(path))


def _explain(kind: str, rest: str, before: Any, now: Any) -> str:
    change = f"{_short(before)} -> {_short(now)}"
    if kind in _EXPLAINED:
        return f"{_EXPLAINED[kind]}: {change}"
    if kind == "reads":
        return "it reads an output that is another"
    if kind in ("libraries", "operators"):
        return f"{kind.removesuffix('s').replace('librarie', 'library')} {rest}: {change}"
    return f"config {kind}{'.' if rest else ''}{rest}: {change}"


_EXPLAINED = {
    "content": "the data's content has changed",
    "base": "the base model is another (revision)",
    "version": "the code of this stage makes another output (its version)",
}


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
