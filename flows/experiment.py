"""One experiment: clean, tokenize, train, evaluate base and tuned, log to MLflow.

python -m flows.experiment adapter.r=16 quantization=none
"""

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.command import run_command
from flows.estimate import trainings_of
from flows.evaluation import find_models, run_evaluation, run_page
from flows.naming import facts_of, name_of
from flows.server import prefect_api
from flows.stages import run_training_stages
from loraflow.check import dump_config, load_config
from loraflow.config import Config
from loraflow.model.source import BaseModel
from loraflow.plan.experiment import make_plan
from loraflow.preflight import check_machine, check_model
from loraflow.store import Store

if TYPE_CHECKING:
    from loraflow.evaluate.report.content import EvaluationPage

log = logging.getLogger("loraflow")


@flow(name="experiment", flow_run_name="{name}", persist_result=False)
def experiment(name: str, settings: dict[str, Any]) -> "tuple[EvaluationPage, dict[str, str]]":
    """Run the stages, log the result, and return it with the places where it can be seen."""
    from loraflow.evaluate.report.gather import gather
    from loraflow.evaluate.report.markdown import as_markdown
    from loraflow.tracking.run import open_run, tolerated_outage

    config = load_config(settings)
    store = Store(config.store)
    base, judge = find_models(config)
    check_model(config, base.folder)
    plan = make_plan(config, base, judge)
    if not store.has(plan.last.train):
        _require_memory(config, base)
    with (
        store.lock(plan.experiment),
        open_run(
            config.tracking, plan.experiment, name=name, data=plan.last.data_fingerprint
        ) as run,
    ):
        data, trained = run_training_stages(config, plan, store, base, run.log_metric)
        outputs = run_evaluation(
            config, plan.evaluation, store, (base, judge), data=data, trained=trained
        )
        html = run_page(store, plan.evaluation, outputs, title=name, facts=facts_of(config))
        page = gather(outputs, name, facts_of(config))
        if not run.finished:
            from loraflow.tracking.record import record_experiment

            with tolerated_outage("the run is not complete there"):
                record_experiment(run, config, plan, store, base=base, page=page)
    create_markdown_artifact(
        f"{as_markdown(page)}\n\n[The run in MLflow]({run.url}) · "
        f"[The report]({run.url}/artifacts/evaluate/{html.name}) · "
        f"[What became of the data]({run.url}/artifacts/data/report.html)",
        key="experiment-result",
        description="Base against tuned",
    )
    return page, {
        "MLflow run": run.url,
        "report": os.path.relpath(html),
        "trained": os.path.relpath(trained),
    }


def _require_memory(config: Config, base: BaseModel) -> None:
    """Refuse before anything is loaded what cannot fit."""
    from loraflow.estimate.machine import this_machine
    from loraflow.estimate.proposals import require_memory

    require_memory(trainings_of(config, base), this_machine())


def main() -> None:
    """Read the command line, run one experiment, show what came out."""
    run_command(_run)


def _run(config: Config) -> None:
    with prefect_api() as api:
        check_machine(config)
        log.info(
            "%s, %s data", name_of(config), ", ".join(config.data.path or [config.data.layout])
        )
        with temporary_settings({PREFECT_API_URL: api.wait()}):
            page, places = experiment(name_of(config), dump_config(config))
    from loraflow.evaluate.report.terminal import show_evaluation

    show_evaluation(page, {**places, **_next_steps(config)})


def _next_steps(config: Config) -> dict[str, str]:
    steps = {
        "look at it": "make ui         (MLflow: metrics, report, every answer, what was trained)",
        "": "make dashboard  (Prefect: this run, its stages and logs)",
    }
    if config.adapter.method == "lora":
        own = "".join(f"{word} " for word in sys.argv[1:] if not word.startswith("adapter.r="))
        question = f'make run ARGS="{own}adapter.r={2 * config.adapter.r}"  (does more rank help?)'
        steps["next"] = question
    return steps


if __name__ == "__main__":
    main()
