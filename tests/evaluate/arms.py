"""Held-out rows and trained arms for the tests of the stage `evaluate`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, get_peft_model

from loraflow.compare.metrics import METRICS
from loraflow.config import TrainConfig
from loraflow.data.records import Record
from loraflow.evaluate.arm import Arm
from loraflow.evaluate.run import evaluate
from loraflow.files import ITEMS, read_lines
from loraflow.model.lend import ModelLender
from loraflow.model.source import BaseModel
from loraflow.sweep.metric import measured_metrics
from tests.conftest import composed
from tests.data.tokens import Tokens, tokenized

SETTINGS = composed("evaluate.max_new_tokens=4", "evaluate.batch_size=2").evaluate


def make_arm(
    base: BaseModel, work: Path, trained: Path | None = None, *, form: str = "native"
) -> Arm:
    """An arm of its own, with nothing finished before."""
    template = composed(f"template={form}").template
    return Arm(SETTINGS, template, base, trained, ModelLender(), work)


class Task:
    """Rows of a task, the same on both sides, and how its arms are measured."""

    def __init__(
        self, folder: Path, base: BaseModel, train: TrainConfig, rows: Sequence[Record], form: str
    ) -> None:
        self.tokens: Tokens = tokenized(folder, base, train, rows, rows, form=form)
        self._folder = folder
        self._base = base
        self._task = train.task
        self._form = form

    def measure(self, trained: Path | None = None) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        """Return the items and the summary of the base, or of what was trained."""
        out = self._folder / ("base" if trained is None else f"out-{trained.name}")
        out.mkdir()
        arm = make_arm(self._base, out.with_name(f"{out.name}-work"), trained, form=self._form)
        summary = evaluate(
            arm,
            task=self._task,
            prepared=self.tokens.prepared,
            tokens=self.tokens.folder,
            out=out,
        )
        return read_lines(out / ITEMS), summary


def check_foretold(task: str, summary: dict[str, Any]) -> None:
    """Check that a sweep knows before it starts which metrics an evaluation has."""
    comparable = {name for name in summary["metrics"] if METRICS[name].larger_is_better is not None}
    assert comparable == set(measured_metrics(composed(f"train={task}", "judge=none")))


def save_adapter(model: Any, config: PeftConfig, trained: Path) -> Any:
    """Put an adapter with random values beside `model`, write it as the stage train does."""
    torch.manual_seed(1)
    adapted = get_peft_model(model, config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.3)
    adapted.save_pretrained(trained / "adapter")
    return adapted.eval()
