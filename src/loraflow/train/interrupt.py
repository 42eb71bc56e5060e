"""Lets a training end with a checkpoint when it is told to stop (Ctrl-C, SIGTERM)."""

import logging
import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from accelerate.utils import gather_object  # type: ignore[import-untyped]
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

log = logging.getLogger(__name__)

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopOnSignal(TrainerCallback):  # type: ignore[misc]  # transformers comes without types
    """Saves and stops behind the step in which a signal came; a second one stops at once.

    Processes that train together stop when it has come to one of them.
    """

    def __init__(self) -> None:
        """Wait for a signal."""
        self.received: int | None = None

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> None:
        """Stop the training if a signal has come."""
        # it reaches processes that train together in different steps: all stop behind the same one
        received = [number for number in gather_object([self.received]) if number is not None]
        if received:
            self.received = received[0]
            control.should_save = control.should_training_stop = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Hold signals back inside the block; hand the one that came on behind it."""
        if threading.current_thread() is not threading.main_thread():
            yield  # Python delivers signals to the main thread only
            return
        before: dict[int, Any] = {
            number: signal.signal(number, self._receive) for number in _SIGNALS
        }
        self._before = before
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            if self.received is not None:  # also if the block was left by an error
                os.kill(os.getpid(), self.received)  # to whoever handled it before

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.received is None:
            log.warning(
                "stopping behind this step, with a checkpoint (once more: at once, without)"
            )
            self.received = number
            return
        signal.signal(number, self._before[number])
        self.received = None  # delivered here, not again behind the block
        os.kill(os.getpid(), number)
