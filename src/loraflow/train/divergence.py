"""Stops a training that goes wrong, says why, and saves the rows of the step in which it did."""

import math
from collections import deque
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch
from accelerate.utils import gather_object  # type: ignore[import-untyped]
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from loraflow.errors import UserError
from loraflow.files import write_json
from loraflow.train.job import Job

REPORT = "diverged.json"
_FEWEST, _ENOUGH = 2, 5  # losses before: to judge at all, and for a median that means something
_NOISE = 0.1  # nats: of a loss below this, some multiple is no sign of anything


@dataclass(frozen=True)
class Symptoms:
    """What was seen in the step that went wrong."""

    step: int  # counted from 1
    reason: str
    loss: float
    usual_loss: float | None  # None: too early to tell
    gradient_norm: float  # before clipping; not a number if the gradient has such
    learning_rate: float


class Diverged(UserError):
    """A training went wrong, and its last step must not be built upon."""

    def __init__(self, message: str, symptoms: Symptoms) -> None:
        """Say `message`; keep what was seen."""
        super().__init__(message)
        self.step = symptoms.step
        # the loss of a step judges the weights before it: a checkpoint of the step before holds
        # the very weights that went wrong
        self.suspect_from = symptoms.step - 1


class Watch(TrainerCallback):  # type: ignore[misc]  # transformers comes without types
    """Raises `Diverged` on not-a-number, and on a loss far above the usual one.

    A gradient that is not finite is found before the optimizer applies it, a spike before a
    checkpoint of its step is written. A spike is a loss of more than `train.divergence.spike`
    times the usual one: the median of the last `window` losses, or while there are less than five,
    the highest. The first two steps are not judged, and less than 0.1 counts as 0.1.
    """

    def __init__(self, job: Job, trainer: Any) -> None:
        """Watch `trainer`, which knows the rows of the present step."""
        self._job = job
        self._trainer = trainer
        self._losses: deque[float] = deque(maxlen=job.settings.divergence.window)

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed training needs to judge the same."""
        return {"losses": list(self._losses)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self._losses.clear()
        self._losses.extend(state["losses"])

    def on_pre_optimizer_step(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stop before a gradient that is not finite spoils the weights."""
        if args.fp16:
            return  # the gradient scaler looks for such, skips the step and scales less
        norm = _gradient_norm(self._trainer.model)
        if not math.isfinite(norm):
            self._stop(
                state.global_step + 1,
                reason="the gradient is not finite",
                loss=float(self._trainer._tr_loss),  # of this step: losses are logged each step
                norm=norm,
                rate=self._trainer.lr_scheduler.get_last_lr()[0],
            )

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        """Judge the loss of a step."""
        logs = logs or {}
        if "loss" not in logs:
            return  # an evaluation, or the closing summary
        loss, norm = float(logs["loss"]), float(logs.get("grad_norm", 0.0))
        if reason := self._fault(loss, norm, scaled=args.fp16):
            rate = float(logs["learning_rate"])
            self._stop(state.global_step, reason=reason, loss=loss, norm=norm, rate=rate)
        self._losses.append(loss)

    def _fault(self, loss: float, norm: float, *, scaled: bool) -> str | None:
        if not math.isfinite(loss):
            return "the loss is not finite"
        if not math.isfinite(norm) and not scaled:
            return "the gradient is not finite"
        spike, usual = self._job.settings.divergence.spike, self._usual()
        if spike is not None and usual is not None and loss > spike * max(usual, _NOISE):
            return f"the loss is more than train.divergence.spike={spike:g} times the usual one"
        return None

    def _usual(self) -> float | None:
        known = len(self._losses)
        if known >= min(_ENOUGH, self._job.settings.divergence.window):
            return median(self._losses)
        return max(self._losses) if known >= _FEWEST else None

    def _stop(self, step: int, *, reason: str, loss: float, norm: float, rate: float) -> None:
        seen = Symptoms(step, reason, loss, self._usual(), norm, rate)
        rows = gather_object(self._trainer.step_rows)  # of all processes
        report = self._job.work / REPORT
        if self._trainer.is_world_process_zero():
            report.parent.mkdir(parents=True, exist_ok=True)
            write_json(
                report,
                {
                    **{name: _readable(value) for name, value in asdict(seen).items()},
                    "losses_before": list(self._losses),
                    "rows": [{"id": name, "tokens": tokens} for name, tokens in rows],
                    "advice": self._advice(),
                },
            )
        raise Diverged(
            f"training diverged at step {step}: {reason} (loss {loss:.4g}, usual loss "
            f"{_shown(seen.usual_loss)}, gradient norm {norm:.4g}, learning rate {rate:.4g}); "
            f"{' or '.join(self._advice()[:2])}; "
            f"the {len(rows)} rows of that step, and more, are in {report}",
            seen,
        )

    def _advice(self) -> list[str]:
        rate = self._trainer.lr_scheduler.base_lrs[0]  # halved already, if this is a retry
        advice = [
            f"set train.learning_rate={rate / 2:g} (now {rate:g})",
            f"lower train.max_grad_norm={self._job.settings.max_grad_norm:g}",
            "look for a row that is unlike the others of the step",
            "set train.divergence.retries=2 to go back and halve the learning rate by itself",
        ]
        if self._trainer.args.fp16:
            advice.append("set quantization.compute_dtype=bfloat16, which holds larger numbers")
        return advice


def halve_learning_rate(trainer: Any) -> None:
    """Halve all learning rates of a training that has begun, now and for the rest of its schedule.

    Call it where optimizer and scheduler exist: behind what was restored from a checkpoint. What
    the next checkpoint holds is halved.
    """
    scheduler = trainer.lr_scheduler
    scheduler.base_lrs = [rate / 2 for rate in scheduler.base_lrs]
    scheduler._last_lr = [rate / 2 for rate in scheduler.get_last_lr()]
    for group in trainer.optimizer.param_groups:
        for name in ("lr", "initial_lr"):
            group[name] /= 2


def _gradient_norm(model: Any) -> float:
    """Return the norm of all gradients. Clipping has made all of them NaN if one was not finite."""
    gradients = [value.grad for value in model.parameters() if value.grad is not None]
    return float(torch.nn.utils.get_total_norm(gradients))


def _readable(value: Any) -> Any:
    """Replace what JSON cannot hold."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _shown(loss: float | None) -> str:
    return "not known yet" if loss is None else f"{loss:.4g}"
