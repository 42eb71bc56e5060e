"""The MLflow run of a sweep, which goes on as often as the sweep does, and those of its trials."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import Run as FoundRun
from omegaconf import OmegaConf

from loraflow.config import Config, TrackingConfig
from loraflow.errors import UserError
from loraflow.evaluate.report.content import EvaluationPage
from loraflow.model.source import BaseModel
from loraflow.plan.experiment import Plan
from loraflow.store import Key, Store
from loraflow.tracking.connection import connect, run_url
from loraflow.tracking.data import as_params
from loraflow.tracking.process import ending_on_sigterm
from loraflow.tracking.provenance import provenance
from loraflow.tracking.result import log_result
from loraflow.tracking.run import (
    PROCESS_TAG,
    Run,
    ended_with_block,
    first_tags,
    mark_killed,
    reopen,
    runs_of,
)

RANK = "rank"  # folder of the report
SETTINGS = "sweep.yaml"
LATEST = "latest."  # begins the tags of settings that are not as they were at first


@contextmanager
def open_sweep(tracking: TrackingConfig, key: Key, *, name: str, data: str) -> Iterator[Run]:
    """Yield the run of this sweep, active: the one there is, however it ended, else a new one.

    Trials are nested in it by its id: `open_run(..., parent=run.id)`.

    Args:
        tracking: where MLflow keeps runs
        key: names the sweep
        name: of the run
        data: fingerprint of the data

    Raises:
        UserError: if another process runs it, or may: one of another machine.
    """
    client, experiment = connect(tracking)
    mark_killed(client, experiment)
    earlier = runs_of(client, experiment, key, None)
    tags = first_tags(key, data)
    if earlier:
        _require_ended(earlier[0], tracking)
        which: dict[str, Any] = reopen(client, earlier[0], tags)
    else:
        which = {"experiment_id": experiment, "tags": tags}
    with ending_on_sigterm():
        active = mlflow.start_run(**which, run_name=name, log_system_metrics=True)
        run = Run(client, active.info.run_id, run_url(tracking, active.info), provenance())
        with ended_with_block(run):
            yield run


def _require_ended(run: FoundRun, tracking: TrackingConfig) -> None:
    if run.info.status != "RUNNING":
        return
    host, _, process = run.data.tags.get(PROCESS_TAG, "").partition(" ")
    raise UserError(
        f"this sweep is being run by process {process.partition(' ')[0]} of {host}: "
        f"{run_url(tracking, run.info)}; wait for it, or end it there and start the command again. "
        f"If {host} is no more: MLFLOW_TRACKING_URI={tracking.uri} .venv/bin/python -c 'import "
        f'mlflow; mlflow.MlflowClient().set_terminated("{run.info.run_id}", "KILLED")\''
    )


def record_trial(
    run: Run,
    config: Config,
    plan: Plan,
    store: Store,
    *,
    base: BaseModel,
    page: EvaluationPage,
) -> None:
    """Log a trial as `record_experiment` does, without what the sweep or the page has already.

    That is the data, which the sweep's run has, and MLflow's traces of answers.
    """
    log_result(run, config, plan, store, base=base, page=page)
    run.recorded = True


def record_sweep(
    run: Run,
    settings: Mapping[str, Any],
    *,
    folder: Path,
    metrics: Mapping[str, float],
    note: str,
) -> None:
    """Log the settings of a sweep, its numbers, and the files of `folder`, its report.

    MLflow keeps the first value of a parameter. What has another since (the number of workers, the
    margin) is in sweep.yaml, and in tags latest.KEY.
    """
    params = as_params(settings)
    found = run.client.get_run(run.id).data
    known = found.params
    changed = {key: value for key, value in params.items() if known.get(key, value) != value}
    latest = {f"{LATEST}{key}": value for key, value in changed.items()}
    for tag in found.tags:
        if tag.startswith(LATEST) and tag not in latest:  # it is as it was at first
            run.client.delete_tag(run.id, tag)
    run.log_values(
        params={key: value for key, value in params.items() if key not in known},
        metrics=metrics,
        tags={"mlflow.note.content": note, **latest},
    )
    run.client.log_text(run.id, OmegaConf.to_yaml(OmegaConf.create(dict(settings))), SETTINGS)
    run.client.log_artifacts(run.id, str(folder), RANK)
    run.recorded = True
