"""What a tuned model loses and gains in 8 and 4 bits: memory, speed, quality, measured.

python -m flows.quantize                      # the adapter of this config, trained if need be
python -m flows.quantize adapter.r=16
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.command import run_command
from flows.evaluation import find_models
from flows.naming import name_of
from flows.reaper import name_process
from flows.running import run_as_task
from flows.server import prefect_api
from flows.stages import DataOutputs, Stages, run_training_stages
from loraflow.check import dump_config, load_config
from loraflow.config import ANSWERED, Config
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.plan.evaluation import plan_evaluation
from loraflow.plan.experiment import make_plan
from loraflow.preflight import check_machine, check_model
from loraflow.store import Key, Store, Summary, make_key

if TYPE_CHECKING:
    from loraflow.evaluate.precision import Precision, Way


@flow(name="quantize", flow_run_name="{name}", persist_result=False, on_running=[name_process])
def quantize(name: str, settings: dict[str, Any]) -> "tuple[list[Precision], int, str]":
    """Measure every way to hold the tuned model; return the table, its rows and the MLflow run."""
    from loraflow.evaluate.precision import WAYS, compare_precisions, precision_markdown
    from loraflow.tracking.quantize import record_precisions
    from loraflow.tracking.run import open_run, tolerated_outage

    config = load_config(settings)
    store = Store(config.store)
    base, _ = find_models(config)
    check_model(config, base.folder)
    plan = make_plan(config, base)
    stages = Stages(store, base, run_as_task)
    data, trained = run_training_stages(config, plan, stages, lambda *_: None)
    merged = _merge(store, base, plan.last.train, trained)
    folders = {
        way: _measure(config, store, way, (base, plan.last.train, trained), merged, data)
        for way in WAYS
    }
    # a folder is named by all that its numbers depend on
    whole = make_key("quantization", 2, outputs=[folder.name for folder in folders.values()])
    tracking = replace(config.tracking, experiment=f"{config.tracking.experiment}-quantize")
    with open_run(tracking, whole, name=name, data=plan.last.data_fingerprint) as run:
        rows = compare_precisions(folders)
        items = store.result(plan.last.tokenize)["counts"]["held_out_rows"]
        text = precision_markdown(rows, items)
        if not run.finished:
            with tolerated_outage("the run is not complete there"):
                record_precisions(run, config, rows, text)
    create_markdown_artifact(
        f"{text}\n\n[The run in MLflow]({run.url})", key="quantize", description="In fewer bits"
    )
    return rows, items, run.url


def _merge(store: Store, base: BaseModel, train: Key, trained: Path) -> tuple[Key, Path]:
    """Fold the adapter into the unquantized base."""
    whole = _held(base, "none")
    key = make_key("merge", 2, reads=[train], base=base.revision)

    def work(*, out: Path) -> Summary:
        from loraflow.model.merge import merge

        return merge(whole, trained, out=out)

    return key, run_as_task(store, key, work)


def _measure(
    config: Config,
    store: Store,
    way: "Way",
    tuned: tuple[BaseModel, Key, Path],
    merged: tuple[Key, Path],
    data: DataOutputs,
) -> Path:
    """Evaluate the tuned model in one way."""
    base, train, trained = tuned
    held = _held(base, way.method)
    beside: Path | None = trained
    if way.merged:
        key, folder = merged
        held, beside = replace(held, folder=folder, revision=key.digest), None
        train = key
    plan = make_plan(config, held)
    own = replace(config, quantization=held.quantization)
    keys = {"prepare": plan.last.prepare, "tokenize": plan.last.tokenize, "trained": train}
    arm = plan_evaluation(own, held, held, **keys).tuned
    if arm is None:
        raise ValueError("a way has a tuned arm")
    packed = make_key("evaluate", 1, reads=[arm.evaluate], packed=True)

    def work(*, out: Path) -> Summary:
        from loraflow.evaluate.arm import Arm
        from loraflow.evaluate.run import evaluate
        from loraflow.model.lend import ModelLender

        lender = ModelLender(packed=True)
        settings, template = config.evaluate, config.template
        subject = Arm(settings, template, held, beside, lender, store.work(packed))
        return evaluate(
            subject, task=config.train.task, prepared=data.prepared, tokens=data.tokens, out=out
        )

    return run_as_task(store, packed, work, way.name)


def _held(base: BaseModel, method: Any) -> BaseModel:
    return replace(base, quantization=replace(base.quantization, method=method))


def main() -> None:
    """Read the command line, measure, show the table."""
    run_command(_run)


def _run(config: Config) -> None:
    if config.train.task not in ANSWERED:
        raise UserError(
            f"train.task={config.train.task!r} writes no answers to measure; set train=sft"
        )
    with prefect_api() as api:
        check_machine(config)
        with api.connected():
            rows, items, url = quantize(name_of(config), dump_config(config))
    from loraflow.evaluate.precision import show_precisions

    show_precisions(rows, items, {"MLflow run": url})


if __name__ == "__main__":
    main()
