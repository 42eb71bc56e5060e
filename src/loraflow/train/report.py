"""What a training reports while it runs: a bar, a history file, and each metric to the tracker."""

import json
import time
from typing import Any, Never, TextIO

from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from loraflow.measure import LogMetric

_NAMES = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/gradient_norm",
    "eval_loss": "train/validation_loss",
}


class Report(TrainerCallback):  # type: ignore[misc]  # transformers comes without types
    """Writes each step's metrics to history.jsonl, hands them to `log`, and moves the bar."""

    def __init__(
        self, trainer: Any, *, history: TextIO, bar: "tqdm[Never]", log: LogMetric
    ) -> None:
        """Report to `history`, `bar` and `log`; `trainer` counts the tokens that it reads."""
        self._trainer = trainer
        self._history = history
        self._bar = bar
        self._log = log
        self._tokens_before = 0
        self._started = 0.0

    def on_step_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Start the clock of an optimizer step."""
        self._started = time.monotonic()
        self._tokens_before = self._trainer.tokens_read

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
            _NAMES.get(key, key): float(value)
            for key, value in (logs or {}).items()
            if key in _NAMES or key.startswith("train/")
        }
        if not metrics:
            return  # the trainer's closing summary
        if "train/loss" in metrics:
            seconds = time.monotonic() - self._started
            tokens = (
                self._trainer.tokens_read - self._tokens_before
            )  # the other processes read as many
            tokens *= args.world_size
            metrics["train/tokens_per_second"] = tokens / seconds
            self._show(metrics, state.global_step)
        self._history.write(json.dumps({"step": state.global_step, **metrics}) + "\n")
        self._history.flush()
        for name, value in metrics.items():  # last: whoever listens may end the training by it
            self._log(name, value, state.global_step)

    def _show(self, metrics: dict[str, float], step: int) -> None:
        self._bar.set_postfix_str(
            f"loss {metrics['train/loss']:.3f}, {metrics['train/tokens_per_second']:.0f} tokens/s",
            refresh=False,
        )
        self._bar.update(step - self._bar.n)
