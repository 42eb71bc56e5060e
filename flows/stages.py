"""The stages up to the adapter as Prefect tasks; the store decides which of them have to run.

Torch and its company are imported by the stages that run: one that is reused waits for nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prefect import State, Task
from prefect.states import Completed

from loraflow.config import Config, EarlierConfig
from loraflow.data.prepare import prepare
from loraflow.measure import LogMetric
from loraflow.model.source import BaseModel
from loraflow.plan.experiment import Plan, Training
from loraflow.store import Key, Store, Summary
from loraflow.train.job import Job

log = logging.getLogger("loraflow")


@dataclass(frozen=True)
class DataOutputs:
    """The folders that the data stages leave."""

    prepared: Path
    tokens: Path
    report: Path


def run_training_stages(
    config: Config, plan: Plan, store: Store, base: BaseModel, log_metric: LogMetric
) -> tuple[DataOutputs, Path]:
    """Run the earlier trainings, then prepare -> tokenize -> report and train; reuse what is there.

    Returns the folders of the data, and that of what was trained.
    """
    start = None
    for name, part in config.before.items():
        keys = plan.before[name]
        _, tokens = _run_tokens(part, keys, store, base, name)
        log_it = _renamed(log_metric, name)
        work = store.work(keys.train)
        job = Job(config.adapter, part.train, base, tokens, start, work, log_it)
        start = run_stage(store, keys.train, partial(_train, job), name)
    data = run_data_stages(config, plan, store, base)
    work = store.work(plan.last.train)
    job = Job(config.adapter, config.train, base, data.tokens, start, work, log_metric)
    return data, run_stage(store, plan.last.train, partial(_train, job))


def run_data_stages(config: Config, plan: Plan, store: Store, base: BaseModel) -> DataOutputs:
    """Run prepare -> tokenize -> report; reuse what is there."""
    prepared, tokens = _run_tokens(config, plan.last, store, base)
    page = run_stage(store, plan.report, partial(_report, config, base, prepared, tokens))
    return DataOutputs(prepared=prepared, tokens=tokens, report=page / "report.html")


def _run_tokens(
    part: Config | EarlierConfig, keys: Training, store: Store, base: BaseModel, name: str = ""
) -> tuple[Path, Path]:
    """Run prepare -> tokenize of one training."""
    run = partial(run_stage, store)
    prepared = run(keys.prepare, partial(prepare, part.data, content=keys.data_fingerprint), name)
    return prepared, run(keys.tokenize, partial(_tokenize, part, base, prepared), name)


def _renamed(log_metric: LogMetric, name: str) -> LogMetric:
    """Log an earlier training's metrics beside those of the last one: train_cpt/loss."""
    return lambda metric, value, step: log_metric(
        metric.replace("train/", f"train_{name}/", 1), value, step
    )


def run_stage(store: Store, key: Key, work: Callable[..., Summary], arm: str = "") -> Path:
    """Run a stage as a task; one whose output is there ends as `Cached` in the dashboard."""
    title = f"{key.stage} {arm}".strip()
    folder = store.folder(key)

    def stage(digest: str) -> "Path | State[Path]":
        if folder.is_dir():
            log.info("%-15s reused %s", title, folder)
            return Completed(name="Cached", message=f"reused {folder}", data=folder)
        log.info("%-15s started", title)
        store.run(key, lambda out: work(out=out))
        log.info("%-15s done in %.0f s", title, store.result(key)["seconds"])
        return folder

    Task(stage, name=title, task_run_name=title, persist_result=False)(key.digest)
    return folder


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
