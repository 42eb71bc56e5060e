"""When to ask an endpoint again."""

import random
import time
from email.utils import parsedate_to_datetime
from threading import Event, Lock

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 30.0  # seconds, doubled with each attempt


class Pace:
    """Lets at most so many requests a minute through, evenly spaced."""

    def __init__(self, per_minute: int | None) -> None:
        """Start now; None sets no bound."""
        self._seconds = 60 / per_minute if per_minute else 0.0
        self._next = 0.0
        self._lock = Lock()

    def wait(self, stop: Event) -> bool:
        """Wait for a place; False if `stop` came first."""
        with self._lock:
            start = max(time.monotonic(), self._next)
            self._next = start + self._seconds
        return not stop.wait(max(0.0, start - time.monotonic()))


def back_off(attempt: int) -> float:
    """Return the seconds to wait behind an attempt, the first being 1."""
    seconds: float = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1))
    return seconds * random.uniform(0.75, 1.25)  # so that threads do not come back together


def asked_pause(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date."""
    if not header:
        return None
    try:
        return max(0.0, float(header))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
