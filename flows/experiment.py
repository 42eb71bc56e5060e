"""One experiment: clean, tokenize, train, evaluate base and tuned, log to MLflow.

python -m flows.experiment adapter.r=16 quantization=none
"""

import logging
import os
import sys
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.command import run_command
from flows.evaluation import find_models
from flows.naming import name_of
from flows.pipeline import Finished, Ready, get_ready, run_experiment
from flows.reaper import name_process
from flows.running import run_as_task
from flows.server import prefect_api
from flows.stages import Stages
from loraflow.check import dump_config, load_config
from loraflow.config import Config
from loraflow.preflight import check_machine
from loraflow.store import Store

if TYPE_CHECKING:
    from loraflow.evaluate.report.content import EvaluationPage
    from loraflow.tracking.run import Run

log = logging.getLogger("loraflow")

NOT_LOGGED = "not yet, since its server did not answer: make sync"


@flow(name="experiment", flow_run_name="{name}", persist_result=False, on_running=[name_process])
def experiment(name: str, settings: dict[str, Any]) -> Finished:
    """Run the stages, each a task, and log the result."""
    from loraflow.evaluate.report.markdown import as_markdown

    config = load_config(settings)
    base, judge = find_models(config)
    stages = Stages(Store(config.store), base, run_as_task)
    done = run_experiment(get_ready(config, stages, judge), _record, name=name)
    create_markdown_artifact(
        f"{as_markdown(done.page)}\n\n{_links(done) if done.is_logged else NOT_LOGGED}",
        key="experiment-result",
        description="Base against tuned",
    )
    return done


def _links(done: Finished) -> str:
    return (
        f"[The run in MLflow]({done.url}) · "
        f"[The report]({done.url}/artifacts/evaluate/{done.report.name}) · "
        f"[What became of the data]({done.url}/artifacts/data/report.html)"
    )


def _record(run: "Run", ready: Ready, page: "EvaluationPage") -> None:
    from loraflow.tracking.record import record_experiment

    stages = ready.stages
    record_experiment(run, ready.config, ready.plan, stages.store, base=stages.base, page=page)


def main() -> None:
    """Read the command line, run one experiment, show what came out."""
    run_command(_run)


def _run(config: Config) -> None:
    with prefect_api() as api:
        check_machine(config)
        log.info(
            "%s, %s data", name_of(config), ", ".join(config.data.path or [config.data.layout])
        )
        with api.connected():
            done = experiment(name_of(config), dump_config(config))
    from loraflow.evaluate.report.terminal import show_evaluation

    places = {
        "MLflow run": done.url if done.is_logged else NOT_LOGGED,
        "report": os.path.relpath(done.report),
        "trained": os.path.relpath(done.trained),
    }
    show_evaluation(done.page, {**places, **_next_steps(config)})


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
