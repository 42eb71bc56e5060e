"""The rows of a night: whether there are new ones, the gate set apart from them, their drift."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from flows.night.tonight import Tonight
from flows.running import run_as_task
from flows.stages import Stages
from loraflow.config import Config
from loraflow.data.prepare import prepare
from loraflow.errors import UserError
from loraflow.plan.experiment import Plan, make_plan
from loraflow.preflight import check_machine
from loraflow.promote.gate.gate_set import (
    GateSet,
    count_new,
    count_removed,
    freeze_gate,
    read_gate,
)
from loraflow.promote.new_data import settled_fingerprint, why_nothing_new
from loraflow.store import make_key

log = logging.getLogger("loraflow")


def look_for_new(tonight: Tonight) -> str | None:
    """Note what the data are; say why there is nothing to do, if there is not."""
    request = tonight.request
    found = settled_fingerprint(request.config.data, request.night.settle_seconds)
    settings = request.settings.digest
    if why := why_nothing_new(found, settings, tonight.line.nights()):
        return why
    tonight.diary.data |= {"fingerprint": found, "settings": settings}
    tonight.note()
    return None


def check(tonight: Tonight) -> None:
    """Check data and machine as the stages will see them: with the gate set apart.

    Raises:
        UserError: names the key, its value and the fix.
    """
    with _by_keys_of_the_gate():
        check_machine(_apart(tonight))


def frozen_gate(tonight: Tonight, stages: Stages) -> GateSet:
    """Return the gate set; the first night takes it from the data, or from the file named."""
    gate = tonight.request.gate
    asked = {"rows": gate.rows, "path": gate.path}
    if (frozen := read_gate(tonight.line.gate)) is not None:
        if frozen.asked != asked:
            log.warning(
                "gate.rows=%s and gate.path=%s change nothing: the gate set was frozen with %s; "
                "night.name=NAME starts a new line",
                gate.rows,
                gate.path,
                frozen.asked,
            )
        return frozen
    config = _apart(tonight)
    keys = make_plan(config, stages.base).last
    work = partial(prepare, config.data, content=keys.data_fingerprint)
    with _by_keys_of_the_gate():
        prepared = stages.run(stages.store, keys.prepare, work, "gate set")
    return freeze_gate(prepared, tonight.line.gate, asked=asked)


def on_gate(config: Config, gate: GateSet) -> Config:
    """Return the config in which the gate set is the held-out side."""
    return _held_out(config, held_out_path=str(gate.rows))


def _apart(tonight: Tonight) -> Config:
    """Return the config in which the gate set, frozen or still to be taken, is held out."""
    config, gate = tonight.request.config, tonight.request.gate
    if (frozen := read_gate(tonight.line.gate)) is not None:
        return on_gate(config, frozen)
    return _held_out(config, held_out_rows=gate.rows, held_out_path=gate.path)


@contextmanager
def _by_keys_of_the_gate() -> Iterator[None]:
    """Name what a user can set: a night sets data.split.held_out_rows itself, by gate.rows."""
    try:
        yield
    except UserError as error:
        raise type(error)(str(error).replace("data.split.held_out_", "gate.")) from error


def _held_out(config: Config, **split: Any) -> Config:
    changed = replace(config.data.split, stratify_by=None, **split)
    return replace(config, data=replace(config.data, split=changed))


def note_rows(tonight: Tonight, plan: Plan, prepared: Path) -> None:
    """Note how many rows there are, new ones, and what was taken out."""
    counts = tonight.store.result(plan.last.prepare)["counts"]
    tonight.diary.data |= {
        "rows": counts["train"],
        "new_rows": count_new(prepared, _before(tonight)),
        "rejected": counts["rejected"],
        "gate_rows_removed": count_removed(prepared),
        "prepared": plan.last.prepare.digest,
    }
    tonight.note()


def measure_drift(tonight: Tonight, plan: Plan, prepared: Path) -> tuple[Path | None, str]:
    """Compare with the rows of the last training.

    Returns the stage's output, if there is anything to compare with, and what drifted in a
    sentence: an empty one, if nothing did.
    """
    before = _before(tonight)
    if before is None or before == prepared:
        return None, ""
    limit = tonight.request.night.drift.max_psi

    def work(*, out: Path) -> dict[str, Any]:
        from loraflow.promote.drift.measure import measure_drift
        from loraflow.promote.drift.report import write_drift

        sides = before / "train.parquet", prepared / "train.parquet"
        return write_drift(measure_drift(*sides, max_psi=limit), out)

    reads = [plan.last.prepare]
    key = make_key("drift", 1, reads=reads, before=before.name, max_psi=limit)
    folder = run_as_task(tonight.store, key, work)
    found = tonight.store.result(key)
    tonight.diary.drift |= found["values"]
    tonight.note()
    return folder, str(found["sentence"]) if found["drifted"] else ""


def _before(tonight: Tonight) -> Path | None:
    """Return the prepared rows of the last training, if they are still there."""
    if (last := tonight.line.last_trained()) is None:
        return None
    before = tonight.store.root / "prepare" / str(last.data["prepared"])[:20]
    if before.is_dir():
        return before
    log.warning("the last training's rows are gone from %s: no drift is measured", before)
    return None
