"""A trial on the tiny model, run without Prefect and MLflow."""

from dataclasses import dataclass
from pathlib import Path

from flows.evaluation import run_evaluation, run_page
from flows.pipeline import Ready, get_ready
from flows.running import run_plainly
from flows.stages import Stages, run_training_stages
from loraflow.config import TrackingConfig
from loraflow.evaluate.report.content import EvaluationPage
from loraflow.evaluate.report.gather import gather
from loraflow.model.source import find_base
from loraflow.store import Store
from loraflow.tracking.run import Run, open_run
from loraflow.tracking.sweep import record_trial
from tests.conftest import composed


@dataclass(frozen=True)
class Done:
    """A trial whose outputs are in the store."""

    ready: Ready
    page: EvaluationPage

    def log(self, tracking: TrackingConfig, parent: str | None = None) -> Run:
        """Log it as a run of its own."""
        ready = self.ready
        plan, stages = ready.plan, ready.stages
        with open_run(tracking, plan.experiment, name="trial", data="d", parent=parent) as run:
            record_trial(run, ready.config, plan, stages.store, base=stages.base, page=self.page)
        return run


def run_trial(model: Path, folder: Path, *words: str) -> Done:
    (folder / "store").mkdir()
    config = composed(
        "model=folder",
        f"model.location={model}",
        f"model.cache={folder / 'models'}",
        f"store={folder / 'store'}",
        "train=smoke",
        "data.train_rows=64",
        "data.split.held_out_rows=8",
        "evaluate.max_new_tokens=4",
        "judge.card_rows=6",
        "evaluate.probes=[]",
        *words,
    )
    base = find_base(config.model, config.quantization)
    ready = get_ready(config, Stages(Store(config.store), base, run_plainly), base)
    data, trained = run_training_stages(config, ready.plan, ready.stages, lambda *_: None)
    plan = ready.plan.evaluation
    outputs = run_evaluation(config, plan, ready.stages, judge=base, data=data, trained=trained)
    run_page(ready.stages, plan, outputs, title="trial", facts=[])
    return Done(ready, gather(outputs, "trial"))
