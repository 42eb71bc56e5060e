"""A night in order: catch up, look, prepare, measure drift, train, and settle."""

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from flows.evaluation import find_models
from flows.night import ranks, rows
from flows.night.start import find_start
from flows.night.tonight import Tonight, step, tell
from flows.night.verdict import Challenger, settle
from flows.pipeline import Finished, Ready, get_ready, run_experiment
from flows.running import run_as_task
from flows.stages import Stages, run_data_stages
from flows.sync import sync
from loraflow.config.nightly import Outcome
from loraflow.errors import PassingError, RefusedData
from loraflow.promote.line import has_promoted

if TYPE_CHECKING:
    from loraflow.promote.registry.version import Version

log = logging.getLogger("loraflow")


def run(tonight: Tonight) -> tuple[Outcome, str]:
    """Do all that is left of a night; return how it ends, and why.

    Run again after a fault or a kill, it goes on from the store.
    """
    champion = _catch_up(tonight)
    if champion is not None and has_promoted(tonight.diary, champion.run_id):
        tonight.diary.version = champion.number
        return "promoted", (tonight.diary.decision or {})["sentence"]
    tonight.request = ranks.as_recommended(tonight.request)
    if why := step("look for new data", rows.look_for_new, tonight):
        return "skipped", why
    try:
        rows.check(tonight)
        base, judge = find_models(tonight.request.config)
        stages = Stages(tonight.store, base, run_as_task)
        gate = rows.frozen_gate(tonight, stages)
        ranks.sweep_if_due(tonight, gate)
        stages = replace(stages, start=find_start(tonight, stages))
        ready = get_ready(rows.on_gate(tonight.request.config, gate), stages, judge)
        data = run_data_stages(ready.config, ready.plan, stages)
    except RefusedData as refused:
        return "stopped", str(refused)
    rows.note_rows(tonight, ready.plan, data.prepared)
    drift, drifted = rows.measure_drift(tonight, ready.plan, data.prepared)
    if drifted and tonight.request.night.drift.action == "stop":
        return "stopped", drifted
    return settle(tonight, Challenger(ready, data, _train(tonight, ready), gate, drift))


def _catch_up(tonight: Tonight) -> "Version | None":
    """Log what MLflow missed, finish a promotion that was cut short, return the champion.

    None: there is none yet, or MLflow is away.
    """
    sync(tonight.store.root)
    try:
        tonight.registry.repair()
        champion = tonight.registry.champion()
    except PassingError as error:
        log.warning("the night goes on without MLflow for now: %s", error)
        return None
    tonight.diary.champion = None if champion is None else champion.number
    if champion is not None:
        promoted = tonight.line.acknowledge(champion.number, champion.run_id)
        if promoted is not None:
            tell(tonight.request, promoted, None)
    return champion


def _train(tonight: Tonight, ready: Ready) -> Finished:
    """Train the challenger, measure it and the base, and have all of it in MLflow."""
    from loraflow.tracking.connection import Unreachable
    from loraflow.tracking.record import record_experiment

    done = run_experiment(
        ready,
        lambda run, ready, page: record_experiment(
            run, ready.config, ready.plan, tonight.store, base=ready.stages.base, page=page
        ),
        name=f"{tonight.request.night.name} {tonight.diary.id}",
    )
    if not done.is_logged:
        logged = sync(tonight.store.root).get(ready.plan.experiment.digest)
        if logged is None:
            raise Unreachable(
                f"tracking.uri={ready.config.tracking.uri} does not answer; the challenger is "
                "trained and in the store, and is decided on once the server is back"
            )
        done = replace(done, run_id=logged, is_logged=True)
    tonight.diary.run_id, tonight.diary.url = done.run_id, done.url
    tonight.note()
    return done
