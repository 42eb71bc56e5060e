"""An MLflow run once more, from what it logged, and whether the same comes out.

python -m flows.replay run=RUN_ID
"""

import shutil
import sys
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from prefect import flow
from prefect.artifacts import create_markdown_artifact

from flows.command import run_command
from flows.evaluation import find_models, run_evaluation
from flows.pipeline import Ready, get_ready
from flows.reaper import name_process
from flows.running import run_as_task
from flows.server import prefect_api
from flows.stages import Stages, run_training_stages
from loraflow.check import dump_config, load_config
from loraflow.config import Config
from loraflow.errors import UserError
from loraflow.preflight import check_machine
from loraflow.replay.report import Replay, replay_markdown
from loraflow.serve.adapters.settings import recall
from loraflow.store import Store, make_key

DIFFERS = 1  # exit status


@flow(name="replay", flow_run_name="replay {run}", persist_result=False, on_running=[name_process])
def replay(run: str, settings: dict[str, Any]) -> tuple[Replay, Path]:
    """Run an experiment again in a store of its own, and compare; return what differs, and where.

    The folder is gone if nothing differs. What would be another experiment is not run.
    """
    config = load_config(settings)
    store = Store(config.store)
    folder = store.root / "replay" / run
    with store.lock(make_key("replay", 1, run=run)):
        shutil.rmtree(folder, ignore_errors=True)
        base, judge = find_models(config)
        stages = Stages(Store(folder / "store"), base, run_as_task)
        found = _replay(run, get_ready(config, stages, judge), folder)
        if found.is_equal:
            shutil.rmtree(folder)
    create_markdown_artifact(
        replay_markdown(found), key="replay-result", description="Recorded against run again"
    )
    return found, folder


def _replay(run: str, ready: Ready, folder: Path) -> Replay:
    from loraflow.replay.inputs import compare_inputs
    from loraflow.replay.outputs import compare_outputs
    from loraflow.replay.surroundings import code_warnings, hardware_warnings, judge_warnings
    from loraflow.tracking.fetch import fetch_trained
    from loraflow.tracking.recorded import fetch_recorded

    tracking = ready.config.tracking
    recorded = fetch_recorded(tracking, run, out=folder / "recorded")
    stages = ready.plan.stages()
    notes = [*code_warnings(recorded), *judge_warnings(ready.config.judge)]
    found = Replay(run, compare_inputs(recorded, stages), notes=notes)
    if found.inputs is not None and not found.inputs.is_code_only:
        return found
    _run_stages(with_threads(ready, recorded.threads))
    store = ready.stages.store

    @cache
    def fetch() -> Path:
        fetch_trained(tracking, run, out=recorded.folder)
        return recorded.folder

    return replace(
        found,
        steps=compare_outputs(recorded, stages, store, fetch),
        hardware=list(hardware_warnings(recorded, stages, store)),
    )


def with_threads(ready: Ready, threads: int | None) -> Ready:
    """Train with as many threads as then, if that is known; the stages keep their keys."""
    if threads is None:
        return ready

    def pinned(part: Any) -> Any:
        speed = replace(part.train.speed, threads=threads)
        return replace(part, train=replace(part.train, speed=speed))

    config = pinned(ready.config)
    before = {name: pinned(part) for name, part in config.before.items()}
    return replace(ready, config=replace(config, before=before))


def _run_stages(ready: Ready) -> None:
    config, stages, plan = ready.config, ready.stages, ready.plan
    data, trained = run_training_stages(config, plan, stages, lambda *_: None)
    run_evaluation(config, plan.evaluation, stages, judge=ready.judge, data=data, trained=trained)


def main() -> None:
    """Read the command line, run once more, show what differs; exit with 1 if anything does."""
    words = [word for word in sys.argv[1:] if not word.startswith("run=")]
    named = [word.removeprefix("run=") for word in sys.argv[1:] if word.startswith("run=")]
    sys.argv[1:] = words
    run_command(lambda config: _run(config, "".join(named), words))


def _run(here: Config, run: str, words: list[str]) -> None:
    if not run:
        raise UserError("run= names no run; give the id of one in MLflow: make replay RUN=ID")
    from loraflow.tracking.fetch import fetch_settings

    config = recall(run, fetch_settings(here.tracking, run), here, words)
    with prefect_api() as api:
        check_machine(config)
        with api.connected():
            found, folder = replay(run, dump_config(config))
    from loraflow.replay.report import show_replay

    show_replay(found, {} if found.is_equal else {"look at it": str(folder)})
    if not found.is_equal:
        sys.exit(DIFFERS)


if __name__ == "__main__":
    main()
