"""The stages up to the adapter; the store decides which of them have to run.

Torch and its company are imported by the stages that run: one that is reused waits for nothing.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flows.running import RunStage
from loraflow.config import Config, EarlierConfig
from loraflow.data.prepare import prepare
from loraflow.measure import LogMetric
from loraflow.model.source import BaseModel
from loraflow.plan.experiment import Plan, Training
from loraflow.store import Key, Store, Summary
from loraflow.train.job import Job

if TYPE_CHECKING:
    from loraflow.model.lend import ModelLender


@dataclass(frozen=True)
class DataOutputs:
    """The folders that the data stages leave."""

    prepared: Path
    tokens: Path
    report: Path


@dataclass(frozen=True)
class Start:
    """What was trained before, as the stage train leaves it."""

    key: Key
    folder: Path


@dataclass(frozen=True)
class Stages:
    """What the stages of one config share: the store, the base, and how a stage is run."""

    store: Store
    base: BaseModel
    run: RunStage
    lender: "ModelLender | None" = None  # of a warm base; None: a training loads its own
    start: "Start | None" = None  # what the first training goes on with; None: a new adapter


def run_training_stages(
    config: Config,
    plan: Plan,
    stages: Stages,
    log_metric: LogMetric,
    pause_at: int | None = None,
) -> tuple[DataOutputs, Path]:
    """Run the earlier trainings, then prepare -> tokenize -> report and train; reuse what is there.

    Returns the folders of the data, and that of what was trained.

    Raises:
        Paused: behind the step `pause_at` of the last training, unless it ends before.
    """
    start = stages.start.folder if stages.start else None
    for name, part in config.before.items():
        keys = plan.before[name]
        _, tokens = _run_tokens(part, keys, stages, name)
        log_it = _renamed(log_metric, name)
        work = stages.store.work(keys.train)
        job = Job(
            config.adapter, part.train, stages.base, tokens, start, work, log_it, stages.lender
        )
        start = stages.run(stages.store, keys.train, partial(_train, job), name)
    data = run_data_stages(config, plan, stages)
    work = stages.store.work(plan.last.train)
    job = Job(
        config.adapter,
        config.train,
        stages.base,
        data.tokens,
        start,
        work,
        log_metric,
        stages.lender,
        pause_at,
    )
    return data, stages.run(stages.store, plan.last.train, partial(_train, job))


def run_data_stages(config: Config, plan: Plan, stages: Stages) -> DataOutputs:
    """Run prepare -> tokenize -> report; reuse what is there."""
    prepared, tokens = _run_tokens(config, plan.last, stages)
    write = partial(_report, config, stages.base, prepared, tokens)
    page = stages.run(stages.store, plan.report, write)
    return DataOutputs(prepared=prepared, tokens=tokens, report=page / "report.html")


def _run_tokens(
    part: Config | EarlierConfig, keys: Training, stages: Stages, name: str = ""
) -> tuple[Path, Path]:
    """Run prepare -> tokenize of one training."""
    run = partial(stages.run, stages.store)
    prepared = run(keys.prepare, partial(prepare, part.data, content=keys.data_fingerprint), name)
    return prepared, run(keys.tokenize, partial(_tokenize, part, stages.base, prepared), name)


def _renamed(log_metric: LogMetric, name: str) -> LogMetric:
    """Log an earlier training's metrics beside those of the last one: train_cpt/loss."""
    return lambda metric, value, step: log_metric(
        metric.replace("train/", f"train_{name}/", 1), value, step
    )


def _tokenize(
    part: Config | EarlierConfig, base: BaseModel, prepared: Path, *, out: Path
) -> Summary:
    from loraflow.data.tokenize import tokenize

    return tokenize(part.template, part.train, prepared=prepared, base=base, out=out)


def _report(config: Config, base: BaseModel, prepared: Path, tokens: Path, *, out: Path) -> Summary:
    from loraflow.data.report.run import report

    return report(
        prepared=prepared,
        tokens=tokens,
        base=base,
        batch_size=config.train.per_device_train_batch_size,
        max_length=config.train.max_length,
        out=out,
    )


def _train(job: Job, *, out: Path) -> Summary:
    from loraflow.train.run import train

    return train(job, out=out)
