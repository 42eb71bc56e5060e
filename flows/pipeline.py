"""One experiment from its data to its MLflow run; the flow `experiment` and every trial run it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from flows.estimate import trainings_of
from flows.evaluation import run_evaluation, run_page
from flows.naming import facts_of
from flows.stages import Stages, run_training_stages
from loraflow.config import Config
from loraflow.errors import Paused, Pruned
from loraflow.evaluate.outputs import EvaluationOutputs
from loraflow.files import HISTORY, read_lines
from loraflow.measure import LogMetric
from loraflow.model.source import BaseModel
from loraflow.outbox import Unlogged, noted_run, write_unlogged
from loraflow.plan.experiment import Plan, make_plan
from loraflow.preflight import check_model
from loraflow.store import Key, Store
from loraflow.tracking.provenance import Provenance, provenance

if TYPE_CHECKING:
    from loraflow.evaluate.report.content import EvaluationPage
    from loraflow.tracking.run import Run


@dataclass(frozen=True)
class Ready:
    """An experiment that may start: checked against its models, every stage keyed."""

    config: Config
    stages: Stages
    judge: BaseModel
    plan: Plan
    started: Provenance  # with which code


@dataclass(frozen=True)
class Finished:
    """What an experiment leaves."""

    page: "EvaluationPage"
    report: Path  # evaluation.html
    trained: Path
    outputs: EvaluationOutputs
    run_id: str  # of MLflow; empty: its server was away
    url: str
    is_logged: bool  # MLflow has all of it; if not, `make sync` logs it once its server is back


Record = Callable[["Run", Ready, "EvaluationPage"], None]
"""Writes a finished experiment into its MLflow run."""


def get_ready(config: Config, stages: Stages, judge: BaseModel) -> Ready:
    """Check the config against the model's files and this machine's memory, and key the stages.

    Raises:
        UserError: if the base lacks what the config names, or a training cannot fit in memory.
    """
    check_model(config, stages.base.folder)
    start = stages.start.key if stages.start else None
    plan = make_plan(config, stages.base, judge, start)
    stages.store.hold(*plan.stages().values(), plan.evaluation.page)
    if not stages.store.has(plan.last.train):
        _require_memory(config, stages.base)
    return Ready(config, stages, judge, plan, provenance())


def run_experiment(
    ready: Ready,
    record: Record,
    *,
    name: str,
    parent: str | None = None,
    watch: Callable[[LogMetric], LogMetric] = lambda log_metric: log_metric,
    pause_at: int | None = None,
) -> Finished:
    """Run what the store does not have, and log it all.

    Args:
        ready: what to run
        record: writes the MLflow run of it
        name: of the run and the report
        parent: MLflow run of the sweep that this is a trial of
        watch: puts itself between a training and what logs its metrics
        pause_at: step behind which the training waits; one that ends before is not evaluated

    Raises:
        Paused: with `pause_at`
    """
    from loraflow.evaluate.report.gather import gather
    from loraflow.tracking.run import open_run, tolerated_outage

    config, stages, plan = ready.config, ready.stages, ready.plan
    content = plan.last.data_fingerprint
    with (
        stages.store.lock(plan.experiment),
        _noted(ready, name, parent) as note,
        open_run(
            config.tracking,
            plan.experiment,
            name=name,
            data=content,
            parent=parent,
            started=ready.started,
        ) as run,
    ):
        log_metric = watch(run.log_metric)
        with _whole_curve(run, stages.store, plan.last.train):
            data, trained = run_training_stages(config, plan, stages, log_metric, pause_at)
            if pause_at is not None:
                steps = stages.store.result(plan.last.train)["counts"]["steps"]
                raise Paused(steps, steps)
        outputs = run_evaluation(
            config, plan.evaluation, stages, judge=ready.judge, data=data, trained=trained
        )
        facts = facts_of(config)
        report = run_page(stages, plan.evaluation, outputs, title=name, facts=facts)
        page = gather(outputs, name, facts)
        if not run.finished:
            note(run)
            with tolerated_outage("the run is not complete there"):
                record(run, ready, page)
    return Finished(page, report, trained, outputs, run.id, run.url, run.finished or run.complete)


@contextmanager
def _whole_curve(run: "Run", store: Store, training: Key) -> Iterator[None]:
    """Log a training that stops before its end from the first step: a killed run may have begun."""
    try:
        yield
    except Pruned:
        folder = store.folder(training) if store.has(training) else store.work(training)
        if (folder / HISTORY).is_file():
            run.log_history(read_lines(folder / HISTORY))
        raise


@contextmanager
def _noted(ready: Ready, name: str, parent: str | None) -> Iterator[Callable[["Run"], None]]:
    """Yield what notes an experiment before it is logged; the note goes when MLflow has it all.

    The run of an earlier note, which never became complete, makes way for the one that will.
    """
    from loraflow.tracking.run import drop_unfinished, tolerated_outage

    noted: list[tuple[Run, Path]] = []

    def note(run: "Run") -> None:
        config, plan, base = ready.config, ready.plan, ready.stages.base
        unlogged = Unlogged(name, parent, run.id, config, plan, base, ready.judge, ready.started)
        half = noted_run(ready.stages.store.root, unlogged)
        if half and run.id:
            with tolerated_outage("an incomplete run of it stays there"):
                drop_unfinished(run.client, half)
        unlogged = replace(unlogged, run=run.id or half)
        noted.append((run, write_unlogged(ready.stages.store.root, unlogged)))

    yield note
    for run, path in noted:
        if run.complete:
            path.unlink(missing_ok=True)


def _require_memory(config: Config, base: BaseModel) -> None:
    """Refuse before anything is loaded what cannot fit."""
    from loraflow.estimate.machine import this_machine
    from loraflow.estimate.proposals import require_memory

    require_memory(trainings_of(config, base), this_machine())
