"""One experiment: clean, tokenize, train, evaluate base and tuned, log to MLflow.

python -m flows.experiment adapter.r=16 quantization=none
"""

import logging
import os
import sys
from typing import Any

from prefect import Task, flow
from prefect.artifacts import create_markdown_artifact
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.command import run_command
from flows.estimate import trainings_of
from flows.server import prefect_api
from flows.stages import run_stages
from loraflow.check import dump_config, load_config
from loraflow.compare.base_vs_tuned import Comparison, compare
from loraflow.compare.terminal import show_comparison
from loraflow.config import Config
from loraflow.model.source import BaseModel, find_base
from loraflow.plan import make_plan
from loraflow.preflight import check_machine, check_model
from loraflow.store import Store

log = logging.getLogger("loraflow")


@flow(name="experiment", flow_run_name="{name}", persist_result=False)
def experiment(name: str, settings: dict[str, Any]) -> tuple[Comparison, dict[str, str]]:
    """Run the stages, log the result, and return it with the places where it can be seen."""
    from loraflow.tracking.run import open_run, tolerated_outage

    config = load_config(settings)
    store = Store(config.store)
    base = Task(find_base, name="base model", task_run_name="base model", persist_result=False)(
        config.model, config.quantization
    )
    check_model(config, base.folder)
    plan = make_plan(config, base)
    if not store.has(plan.last.train):
        _require_memory(config, base)
    with (
        store.lock(plan.experiment),
        open_run(
            config.tracking, plan.experiment, name=name, data=plan.last.data_fingerprint
        ) as run,
    ):
        outputs = run_stages(config, plan, store, base, run.log_metric)
        comparison = compare(outputs.base, outputs.tuned)
        if not run.finished:
            from loraflow.tracking.record import record_experiment

            with tolerated_outage("the run is not complete there"):
                record_experiment(run, config, plan, store, base=base, comparison=comparison)
    create_markdown_artifact(
        f"{comparison.as_markdown()}\n\n[The run in MLflow]({run.url}) · "
        f"[What became of the data]({run.url}/artifacts/data/report.html)",
        key="experiment-result",
        description="Base against tuned",
    )
    return comparison, {"MLflow run": run.url, "trained": os.path.relpath(outputs.trained)}


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
        log.info("%s, %s data", _name(config), ", ".join(config.data.path or [config.data.layout]))
        with temporary_settings({PREFECT_API_URL: api.wait()}):
            comparison, places = experiment(_name(config), dump_config(config))
    show_comparison(comparison, {**places, **_next_steps(config)})


def _name(config: Config) -> str:
    adapter, task = config.adapter, config.train.task
    what = f"r={adapter.r}" if adapter.method == "lora" else adapter.method
    return " ".join(
        [config.model.name, what, config.quantization.method, *([task] if task != "sft" else [])]
    )


def _next_steps(config: Config) -> dict[str, str]:
    steps = {
        "look at it": "make ui         (MLflow: metrics, every answer, what was trained)",
        "": "make dashboard  (Prefect: this run, its stages and logs)",
    }
    if config.adapter.method == "lora":
        own = "".join(f"{word} " for word in sys.argv[1:] if not word.startswith("adapter.r="))
        question = f'make run ARGS="{own}adapter.r={2 * config.adapter.r}"  (does more rank help?)'
        steps["next"] = question
    return steps


if __name__ == "__main__":
    main()
