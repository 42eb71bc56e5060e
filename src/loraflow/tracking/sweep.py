"""The MLflow run of a sweep, which goes on as often as the sweep does, and those of its trials."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from omegaconf import OmegaConf

from loraflow.config import Config, TrackingConfig
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
    Run,
    ended_with_block,
    first_tags,
    mark_killed,
    reopen,
    runs_of,
)

RANK = "rank"  # folder of the report
SETTINGS = "sweep.yaml"


@contextmanager
def open_sweep(tracking: TrackingConfig, key: Key, *, name: str, data: str) -> Iterator[Run]:
    """Yield the run of this sweep, active: the one there is, however it ended, else a new one.

    Trials are nested in it by its id: `open_run(..., parent=run.id)`.

    Args:
        tracking: where MLflow keeps runs
        key: names the sweep
        name: of the run
        data: fingerprint of the data
    """
    client, experiment = connect(tracking)
    mark_killed(client, experiment)
    earlier = runs_of(client, experiment, key, None)
    tags = first_tags(key, data)
    if earlier:
        which: dict[str, Any] = reopen(client, earlier[0], tags)
    else:
        which = {"experiment_id": experiment, "tags": tags}
    with ending_on_sigterm():
        active = mlflow.start_run(**which, run_name=name, log_system_metrics=True)
        run = Run(client, active.info.run_id, run_url(tracking, active.info), provenance())
        with ended_with_block(run):
            yield run


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
    known = run.client.get_run(run.id).data.params
    changed = {key: value for key, value in params.items() if known.get(key, value) != value}
    run.log_values(
        params={key: value for key, value in params.items() if key not in known},
        metrics=metrics,
        tags={"mlflow.note.content": note}
        | {f"latest.{key}": value for key, value in changed.items()},
    )
    run.client.log_text(run.id, OmegaConf.to_yaml(OmegaConf.create(dict(settings))), SETTINGS)
    run.client.log_artifacts(run.id, str(folder), RANK)
    run.recorded = True
