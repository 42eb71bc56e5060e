"""Pauses a training behind a step, so that others may come as far before it is told to go on."""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from loraflow.errors import Paused


class PauseAt(TrainerCallback):  # type: ignore[misc]  # transformers comes without types
    """Saves a checkpoint behind `step` and raises `Paused`; nothing pauses behind the last step.

    The checkpoint is written behind the look of the same step. Whoever goes on from it trains as if
    there had been no pause: the schedule is that of all steps from the beginning.
    """

    def __init__(self, step: int) -> None:
        """Pause behind `step`."""
        self._step = step

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Ask for a checkpoint."""
        if self._step <= state.global_step < state.max_steps:
            control.should_save = True

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Pause, now that the checkpoint is on disk."""
        if self._step <= state.global_step < state.max_steps and not control.should_training_stop:
            raise Paused(state.global_step, state.max_steps)
