"""What a training reports while it runs: a bar, a history file, and each metric to the tracker."""

import json
import math
import time
from collections.abc import Callable
from typing import Any, Never, TextIO

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from loraflow.errors import UserError
from loraflow.measure import LogMetric

_NAMES = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/gradient_norm",
}


class Report(TrainerCallback):  # type: ignore[misc]  # transformers comes without types
    """Writes each step's metrics to history.jsonl, hands them to `log`, and moves the bar."""

    def __init__(
        self, *, history: TextIO, bar: "tqdm[Never]", tokens_read: Callable[[], int], log: LogMetric
    ) -> None:
        """Report to `history`, `bar` and `log`; `tokens_read` counts real tokens so far."""
        self._history = history
        self._bar = bar
        self._tokens_read = tokens_read
        self._log = log
        self._tokens_before = 0
        self._started = 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock of an optimizer step."""
        self._started = time.monotonic()
        self._tokens_before = self._tokens_read()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Report an optimizer step."""
        metrics = {
            _NAMES[key]: float(value) for key, value in (logs or {}).items() if key in _NAMES
        }
        if "train/loss" not in metrics:
            return  # the trainer's closing summary
        _require_finite(metrics, state.global_step)
        seconds = time.monotonic() - self._started
        metrics["train/tokens_per_second"] = (self._tokens_read() - self._tokens_before) / seconds
        for name, value in metrics.items():
            self._log(name, value, state.global_step)
        self._history.write(json.dumps({"step": state.global_step, **metrics}) + "\n")
        self._history.flush()
        self._bar.set_postfix_str(
            f"loss {metrics['train/loss']:.3f}, {metrics['train/tokens_per_second']:.0f} tokens/s",
            refresh=False,
        )
        self._bar.update(state.global_step - self._bar.n)


def _require_finite(metrics: dict[str, float], step: int) -> None:
    if not all(map(math.isfinite, metrics.values())):
        raise UserError(
            f"training diverged at step {step}: {metrics}; "
            "lower train.learning_rate or train.max_grad_norm"
        )
