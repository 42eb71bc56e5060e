"""Writes a finished experiment, or an evaluation alone, into its MLflow run."""

from loraflow.check import dump_config
from loraflow.config import Config
from loraflow.evaluate.report.content import EvaluationPage
from loraflow.evaluate.report.markdown import as_markdown
from loraflow.model.source import BaseModel
from loraflow.plan.evaluation import EvaluationPlan
from loraflow.plan.experiment import Plan
from loraflow.store import Store
from loraflow.tracking.data import as_params, log_data
from loraflow.tracking.evaluation import evaluation_metrics, log_evaluation
from loraflow.tracking.result import log_result
from loraflow.tracking.run import Run
from loraflow.tracking.traces import log_traces


def record_experiment(
    run: Run,
    config: Config,
    plan: Plan,
    store: Store,
    *,
    base: BaseModel,
    page: EvaluationPage,
) -> None:
    """Log parameters, final metrics, data, adapter, items and provenance to the active run."""
    log_result(run, config, plan, store, base=base, page=page)
    log_data(run, plan, store)
    log_traces(run, page)
    run.recorded = True


def record_evaluation(
    run: Run,
    config: Config,
    plan: EvaluationPlan,
    store: Store,
    *,
    page: EvaluationPage,
    of_run: str | None,
) -> None:
    """Log an evaluation without a training; `of_run` is the run whose adapter was evaluated."""
    run.log_values(
        params=as_params(dump_config(config)),
        metrics=evaluation_metrics(page),
        tags={"mlflow.note.content": as_markdown(page)}
        | ({} if of_run is None else {"loraflow.evaluates": of_run}),
    )
    log_evaluation(run, plan, store, page)
    run.recorded = True
