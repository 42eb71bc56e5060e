"""A decision on disk with its evidence, so that anyone can make it again."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from loraflow.check import flatten
from loraflow.config.nightly import GateConfig
from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.promote.gate.decision import Decision, Evidence

EVIDENCE, DECISION = "evidence.json", "decision.json"
FOLDER = "decision"  # of a run's artifacts
_DIGITS = 1e-9  # relative: other processors add up in another order


@dataclass(frozen=True)
class Saved:
    """A decision, what it was made of, and the gate's settings of then."""

    evidence: Evidence
    gate: GateConfig
    decision: Decision


def save_decision(saved: Saved, folder: Path) -> None:
    """Write evidence.json (with the gate's settings) and decision.json to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / EVIDENCE, {"gate": asdict(saved.gate), "evidence": saved.evidence.as_dict()}
    )
    write_json(folder / DECISION, saved.decision.as_dict())


def read_decision(path: Path) -> Saved:
    """Read what `save_decision` wrote; `path` is the folder, the one above it, or evidence.json.

    Raises:
        UserError: if there is none, or it is damaged.
    """
    places = [path, path / EVIDENCE, path / FOLDER / EVIDENCE]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        raise UserError(f"record={path} holds no {EVIDENCE}; give its folder, or run=RUN_ID")
    try:
        found = read_json(file)
        return Saved(
            Evidence.from_dict(found["evidence"]),
            TypeAdapter(GateConfig).validate_python(found["gate"]),
            Decision.from_dict(read_json(file.with_name(DECISION))),
        )
    except OSError as error:
        raise UserError(f"record={path}: {DECISION} is not beside {file}") from error
    except (KeyError, TypeError, ValueError, ValidationError) as error:
        raise UserError(
            f"record={file} holds no evidence of a decision: {str(error)[:200]}; give the folder "
            f"of an {EVIDENCE}, or run=RUN_ID"
        ) from error


def differing(recorded: Decision, again: Decision) -> list[str]:
    """Return what differs, a line each: where, what was recorded, what comes out now."""
    sides = [dict(_flat(one)) for one in (recorded, again)]
    return [
        f"{key}: recorded {_shown(sides[0], key)}, now {_shown(sides[1], key)}"
        for key in dict.fromkeys([*sides[0], *sides[1]])
        if not _equal(*(side.get(key, _ABSENT) for side in sides))
    ]


_ABSENT = object()


def _flat(decision: Decision) -> Iterator[tuple[str, Any]]:
    values = decision.as_dict()
    values["guards"] = {guard.pop("name"): guard for guard in values["guards"]}
    yield from flatten(values).items()


def _shown(side: Mapping[str, Any], key: str) -> str:
    value = side.get(key, "nothing")
    return f"{value:.10g}" if isinstance(value, float) else str(value)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=_DIGITS, abs_tol=_DIGITS)
    return bool(one == other)
