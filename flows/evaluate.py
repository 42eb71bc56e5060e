"""Evaluation alone, of anything that exists: a run, an adapter in a folder, or a model.

python -m flows.evaluate run=RUN_ID
python -m flows.evaluate adapter=FOLDER evaluate=mt_bench
python -m flows.evaluate model=hub model.location=Qwen/Qwen3-0.6B
"""

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.command import CONF, run_command
from flows.evaluation import find_models, run_evaluation, run_page
from flows.naming import facts_of, name_of
from flows.reaper import name_process
from flows.running import run_as_task
from flows.server import prefect_api
from flows.stages import Stages, run_data_stages
from loraflow.check import dump_config, load_config
from loraflow.config import Config
from loraflow.errors import UserError
from loraflow.files import hash_files
from loraflow.plan.evaluation import plan_evaluation
from loraflow.plan.experiment import make_plan
from loraflow.preflight import check_machine, check_model
from loraflow.serve.adapters.settings import recall
from loraflow.store import Key, Store, Summary, make_key

if TYPE_CHECKING:
    from loraflow.evaluate.report.content import EvaluationPage

_WEIGHTS = "adapter_model.safetensors"


@dataclass(frozen=True)
class Subject:
    """What is evaluated; neither: the base model alone."""

    run: str | None = None  # of MLflow
    adapter: str | None = None  # folder


@flow(name="evaluate", flow_run_name="{name}", persist_result=False, on_running=[name_process])
def evaluate(
    name: str, settings: dict[str, Any], run: str | None, adapter: str | None
) -> "tuple[EvaluationPage, dict[str, str]]":
    """Evaluate, log it to MLflow, and return what was found with the places to see it."""
    from loraflow.evaluate.report.gather import gather
    from loraflow.evaluate.report.markdown import as_markdown
    from loraflow.tracking.run import open_run, tolerated_outage

    config = load_config(settings)
    store = Store(config.store)
    base, judge = find_models(config)
    check_model(config, base.folder)
    plan = make_plan(config, base, judge)
    stages = Stages(store, base, run_as_task)
    data = run_data_stages(config, plan, stages)
    key, trained = _trained(config, store, plan.last.train, Subject(run, adapter))
    measured = plan_evaluation(
        config, base, judge, prepare=plan.last.prepare, tokenize=plan.last.tokenize, trained=key
    )
    whole = make_key("evaluation", 1, reads=[measured.page])
    tracking = replace(config.tracking, experiment=f"{config.tracking.experiment}-evaluate")
    with (
        store.lock(whole),
        open_run(tracking, whole, name=name, data=plan.last.data_fingerprint) as tracked,
    ):
        outputs = run_evaluation(config, measured, stages, judge=judge, data=data, trained=trained)
        facts = [*facts_of(config), *_facts(Subject(run, adapter))]
        html = run_page(stages, measured, outputs, title=name, facts=facts)
        page = gather(outputs, name, facts)
        if not tracked.finished:
            from loraflow.tracking.record import record_evaluation

            with tolerated_outage("the run is not complete there"):
                record_evaluation(tracked, config, measured, store, page=page, of_run=run)
    create_markdown_artifact(
        f"{as_markdown(page)}\n\n[The run in MLflow]({tracked.url}) · "
        f"[The report]({tracked.url}/artifacts/evaluate/{html.name})",
        key="evaluation-result",
        description="What was measured",
    )
    return page, {"MLflow run": tracked.url, "report": os.path.relpath(html)}


def _trained(
    config: Config, store: Store, planned: Key, subject: Subject
) -> tuple[Key | None, Path | None]:
    """Return what was trained, and its key: out of the store, out of MLflow, or from a folder."""
    if subject.adapter is not None:
        folder = Path(subject.adapter).expanduser()
        content = hash_files([folder / "adapter_config.json", folder / _WEIGHTS])
        return make_key("train", 0, content=content), folder
    if subject.run is None:
        return None, None
    store.hold(planned)
    if store.has(planned):
        return planned, store.folder(planned)
    run_id = subject.run

    def fetch(*, out: Path) -> Summary:
        from loraflow.tracking.fetch import fetch_trained

        return fetch_trained(config.tracking, run_id, out=out)

    key = make_key("fetched", 1, run=run_id)
    return key, run_as_task(store, key, fetch)


def _facts(subject: Subject) -> Iterator[tuple[str, str]]:
    if subject.run is not None:
        yield "MLflow run", subject.run
    if subject.adapter is not None:
        yield "adapter from", Path(subject.adapter).name


def main() -> None:
    """Read the command line, evaluate, show what came out."""
    try:
        subject = _take_subject()
    except UserError as error:
        run_command(_raise(error))
        return
    run_command(lambda config: _run(config, subject))


def _raise(error: UserError) -> Any:
    def body(_: Config) -> None:
        raise error

    return body


def _take_subject() -> Subject:
    """Take `run=ID` and `adapter=FOLDER` off the command line, which Hydra does not know.

    Raises:
        UserError: for a folder without an adapter in safetensors.
    """
    found: dict[str, str] = {}
    rest = []
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        is_choice = (CONF / "adapter" / f"{value}.yaml").is_file()
        if key == "run" or (key == "adapter" and not is_choice):
            found[key] = value
        else:
            rest.append(word)
    if len(found) > 1:
        raise UserError("run=ID and adapter=FOLDER name two things to evaluate; give one of them")
    if (folder := found.get("adapter")) is not None:
        _require_adapter(Path(folder).expanduser())
    sys.argv[1:] = rest
    return Subject(**found)


def _require_adapter(folder: Path) -> None:
    if not (folder / "adapter_config.json").is_file():
        raise UserError(
            f"adapter={folder} holds no adapter_config.json; set it to a folder that PEFT's "
            "save_pretrained wrote"
        )
    if not (folder / _WEIGHTS).is_file():
        raise UserError(
            f"adapter={folder} holds no {_WEIGHTS}; other formats can hide code and are not "
            "loaded: save it with safe_serialization=True"
        )


def _run(config: Config, subject: Subject) -> None:
    words = sys.argv[1:]
    if subject.run is not None:
        from loraflow.tracking.fetch import fetch_settings

        config = recall(subject.run, fetch_settings(config.tracking, subject.run), config, words)
    with prefect_api() as api:
        check_machine(config)
        name = name_of(config) if subject != Subject() else config.model.name
        with api.connected():
            page, places = evaluate(name, dump_config(config), subject.run, subject.adapter)
    from loraflow.evaluate.report.terminal import show_evaluation

    show_evaluation(page, {**places, "look at it": "make ui         (MLflow: the report)"})


if __name__ == "__main__":
    main()
