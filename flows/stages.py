"""The stages of an experiment as Prefect tasks; the store decides which of them have to run.

Torch and its company are imported by the stages that run: one that is reused waits for nothing.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from prefect import State, Task
from prefect.states import Completed

from loraflow.config import Config
from loraflow.data.prepare import prepare
from loraflow.measure import LogMetric
from loraflow.model.source import BaseModel
from loraflow.plan import Plan
from loraflow.store import Key, Store, Summary

log = logging.getLogger("loraflow")


@dataclass(frozen=True)
class DataOutputs:
    """The folders that the data stages leave."""

    prepared: Path
    tokens: Path
    report: Path


@dataclass(frozen=True)
class Outputs:
    """The folders that are looked at when all stages are done."""

    base: Path  # the base model's evaluation
    tuned: Path  # the tuned model's
    adapter: Path


def run_stages(
    config: Config, plan: Plan, store: Store, base: BaseModel, log_metric: LogMetric
) -> Outputs:
    """Run prepare -> tokenize -> train -> evaluate, base and tuned; reuse what is there."""
    run = partial(_run_stage, store)
    data = run_data_stages(config, plan, store, base)
    prepared, tokens = data.prepared, data.tokens
    untuned = run(
        plan.evaluate_base, partial(_evaluate, config, base, prepared, tokens, None), "base"
    )
    trained = run(plan.train, partial(_train, config, base, tokens, log_metric))
    tuned = run(
        plan.evaluate_tuned,
        partial(_evaluate, config, base, prepared, tokens, trained / "adapter"),
        "tuned",
    )
    return Outputs(base=untuned, tuned=tuned, adapter=trained / "adapter")


def run_data_stages(config: Config, plan: Plan, store: Store, base: BaseModel) -> DataOutputs:
    """Run prepare -> tokenize -> report; reuse what is there."""
    run = partial(_run_stage, store)
    prepared = run(plan.prepare, partial(prepare, config.data, content=plan.data_fingerprint))
    tokens = run(plan.tokenize, partial(_tokenize, config, base, prepared))
    page = run(plan.report, partial(_report, config, base, prepared, tokens))
    return DataOutputs(prepared=prepared, tokens=tokens, report=page / "report.html")


def _run_stage(store: Store, key: Key, work: Callable[..., Summary], arm: str = "") -> Path:
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


def _tokenize(config: Config, base: BaseModel, prepared: Path, *, out: Path) -> Summary:
    from loraflow.data.tokenize import tokenize

    return tokenize(config.template, config.train, prepared=prepared, base=base, out=out)


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


def _train(
    config: Config, base: BaseModel, tokens: Path, log_metric: LogMetric, *, out: Path
) -> Summary:
    from loraflow.train.run import train

    return train(
        config.adapter,
        config.train,
        tokens=tokens,
        base=base,
        log_metric=log_metric,
        out=out,
    )


def _evaluate(
    config: Config,
    base: BaseModel,
    prepared: Path,
    tokens: Path,
    adapter: Path | None,
    *,
    out: Path,
) -> Summary:
    from loraflow.evaluate.run import evaluate

    return evaluate(
        config.evaluate,
        prepared=prepared,
        tokens=tokens,
        base=base,
        adapter=adapter,
        out=out,
    )
