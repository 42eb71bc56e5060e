"""The data alone: clean, split, tokenize, and a report to look at, before anything is trained.

python -m flows.data data=file data.path=my.jsonl
"""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import Task, flow
from prefect.artifacts import create_markdown_artifact

from flows.command import run_command
from flows.reaper import name_process
from flows.running import run_as_task
from flows.server import prefect_api
from flows.stages import DataOutputs, Stages, run_data_stages
from loraflow.check import dump_config, load_config
from loraflow.config import Config
from loraflow.data.report.terminal import funnel_markdown, show_data
from loraflow.model.source import find_base
from loraflow.plan.experiment import make_plan
from loraflow.preflight import check_machine
from loraflow.store import Store

log = logging.getLogger("loraflow")


@flow(name="data", flow_run_name="{name}", persist_result=False, on_running=[name_process])
def data(name: str, settings: dict[str, Any]) -> tuple[DataOutputs, str]:
    """Run the data stages, log them, and return their folders and the address of the run."""
    from loraflow.tracking.data import record_data
    from loraflow.tracking.run import open_run, tolerated_outage

    config = load_config(settings)
    store = Store(config.store)
    base = Task(find_base, name="base model", task_run_name="base model", persist_result=False)(
        config.model, config.quantization
    )
    plan = make_plan(config, base)
    tracking = replace(config.tracking, experiment=f"{config.tracking.experiment}-data")
    with (
        store.lock(plan.data),
        open_run(tracking, plan.data, name=name, data=plan.last.data_fingerprint) as run,
    ):
        outputs = run_data_stages(config, plan, Stages(store, base, run_as_task))
        if not run.finished:
            with tolerated_outage("the run is not complete there"):
                record_data(run, config, plan, store)
    create_markdown_artifact(
        f"{funnel_markdown(outputs.prepared)}\n\n"
        f"[The report in MLflow]({run.url}/artifacts/data/report.html)\n\n"
        f"On disk: `{os.path.relpath(outputs.report)}`",
        key="data-report",
        description="Rows in and out",
    )
    return outputs, run.url


def main() -> None:
    """Read the command line, run the data stages, show what came out."""
    run_command(_run)


def _run(config: Config) -> None:
    with prefect_api() as api:
        check_machine(config)
        with api.connected():
            outputs, url = data(_name(config), dump_config(config))
    places = {
        "report": os.path.relpath(outputs.report),
        "set aside": os.path.relpath(outputs.prepared / "rejected.parquet"),
        "MLflow run": url,
    }
    show_data(outputs.prepared, places)


def _name(config: Config) -> str:
    files = [Path(path).name for path in config.data.path or [config.data.layout]]
    return f"{', '.join(files)}, {config.template.name}"


if __name__ == "__main__":
    main()
