"""The time limit of a flow, and what follows a fault: another attempt, after a longer wait."""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from prefect.utilities.timeout import timeout

from loraflow.config.nightly import ScheduleConfig
from loraflow.errors import PassingError, UserError
from loraflow.tracking.reason import reason_of

log = logging.getLogger("loraflow")

_Result = TypeVar("_Result")


def attempt(work: Callable[[], _Result], schedule: ScheduleConfig) -> _Result:
    """Run `work`; after a fault, run it again, each time after twice the wait.

    Not Prefect's own retries: a run that waits for one counts as scheduled, so that another night
    could start in between, and they try again what only the user can mend.

    Raises:
        TimeoutError: if all attempts together take longer than `schedule.timeout_hours`. It
            interrupts Python code and system calls of the main thread, where a worker runs flows.
    """
    try:
        with timeout(schedule.timeout_hours * 3600, _OutOfTime):
            return _attempt(work, schedule)
    except _OutOfTime as error:
        raise TimeoutError(
            f"stopped after schedule.timeout_hours={schedule.timeout_hours:g}; what was finished "
            "is in the store, and the next run goes on from there"
        ) from error


class _OutOfTime(TimeoutError):
    """The limit of `attempt`, and nobody else's."""


def _attempt(work: Callable[[], _Result], schedule: ScheduleConfig) -> _Result:
    for wait in [schedule.retry_minutes * 2**number for number in range(schedule.retries)]:
        try:
            return work()
        except Exception as error:  # whatever it is, it may pass
            if isinstance(error, UserError) and not isinstance(error, PassingError):
                raise  # the same again
            log.warning("again in %g minutes: %s", wait, reason_of(error))
            time.sleep(wait * 60)
    return work()
