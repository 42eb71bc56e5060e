"""Errors that others than their maker handle, and what a wrong name may have meant."""

from difflib import get_close_matches

from pydantic import ValidationError


class UserError(ValueError):
    """Something in the config, the data or the machine that the user can change.

    The message names the config key, the value and the fix.
    """


class PassingError(UserError):
    """A fault that may pass by itself: a server that is away, a file that is being written."""


class RefusedData(UserError):
    """The data are not fit to train on: too few rows, too many set aside, another encoding."""


class Pruned(Exception):
    """A trial is far behind others of its arm, so it was stopped. Nothing is wrong."""


class Paused(Pruned):
    """A trial waits, with a checkpoint, for others of its arm to come as far: it may go on."""

    def __init__(self, step: int, steps: int) -> None:
        """Note behind which step, and of how many."""
        super().__init__(step, steps)
        self.step = step
        self.steps = steps

    def __str__(self) -> str:
        """Return the reason as runs and reports have it."""
        return f"paused at step {self.step} of {self.steps}"


def nearest(word: str, choices: list[str]) -> str:
    """Return " (did you mean ...?)" for the choice closest to `word`, or nothing."""
    by_last_part = {choice.rpartition(".")[2]: choice for choice in reversed(choices)}
    close = get_close_matches(word, choices, n=1, cutoff=0.6)
    if not close:
        last = get_close_matches(word.rpartition(".")[2], list(by_last_part), n=1, cutoff=0.75)
        close = [by_last_part[part] for part in last]
    return f" (did you mean {close[0]}?)" if close else ""


def fault_of(error: ValueError | OSError) -> str:
    """Return why a file cannot be read; of pydantic's faults the first, without the value."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_input=False, include_url=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'content'}: {first['msg']}"
