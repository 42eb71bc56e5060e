"""Time limit and retries of a night, without a server."""

import time
from dataclasses import replace

import pytest

from flows.attempts import attempt
from flows.deploy import register
from loraflow.check import load_sections
from loraflow.config.nightly import ScheduleConfig
from loraflow.errors import UserError

SCHEDULE = ScheduleConfig(
    cron="0 2 * * *",
    timezone="Asia/Shanghai",
    timeout_hours=1,
    retries=2,
    retry_minutes=0.001,
    work_pool="nights",
)


class Work:
    """Fails with each of `faults`, then is done."""

    def __init__(self, *faults: Exception) -> None:
        self.faults = list(faults)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.faults:
            raise self.faults.pop(0)
        return "done"


def test_fault_that_passes_is_tried_again() -> None:
    work = Work(OSError("the disk was full"), RuntimeError("no"))
    assert attempt(work, SCHEDULE) == "done"
    assert work.calls == 3


def test_fault_that_stays_is_raised_in_the_end() -> None:
    work = Work(*[OSError("the disk is full")] * 9)
    with pytest.raises(OSError, match="the disk is full"):
        attempt(work, SCHEDULE)
    assert work.calls == 3


def test_a_server_that_answers_too_late_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    work = Work(TimeoutError("http://ann:moonlight@host did not answer"))
    assert attempt(work, SCHEDULE) == "done"
    assert "moonlight" not in caplog.text


def test_wait_doubles(monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(time, "sleep", waited.append)
    attempt(Work(OSError(), OSError()), replace(SCHEDULE, retry_minutes=10))
    assert waited == [600, 1200]


def test_what_the_user_must_mend_is_not_tried_again() -> None:
    work = Work(UserError("data.path=x is not there"))
    with pytest.raises(UserError, match=r"data\.path"):
        attempt(work, SCHEDULE)
    assert work.calls == 1


def test_time_limit_interrupts_and_is_not_tried_again() -> None:
    calls = []

    def work() -> None:
        calls.append(1)
        time.sleep(60)

    with pytest.raises(TimeoutError, match=r"schedule\.timeout_hours"):
        attempt(work, replace(SCHEDULE, timeout_hours=0.2 / 3600))
    assert len(calls) == 1


def test_time_limit_passes_through_what_catches_faults() -> None:
    def work() -> None:
        try:
            time.sleep(60)
        except Exception:  # noqa: BLE001 - what a careless stage does
            pytest.fail("the limit is no fault of the work")

    with pytest.raises(TimeoutError, match=r"schedule\.timeout_hours"):
        attempt(work, replace(SCHEDULE, timeout_hours=0.2 / 3600))


def test_wrong_timezone_names_the_nearest() -> None:
    settings = {**vars(SCHEDULE), "timezone": "Asia/Shangai"}
    settings = {key: value for key, value in settings.items() if not key.startswith("_")}
    with pytest.raises(UserError, match=r"timezone='Asia/Shangai' is no time zone.*Asia/Shanghai"):
        load_sections(ScheduleConfig, settings)


@pytest.mark.parametrize("cron", ["2 am", "0 2 * *", "0 25 * * *", "每天"])
def test_wrong_cron_line_is_named(cron: str) -> None:
    with pytest.raises(UserError, match=r"schedule\.cron=.*is no cron line"):
        register(replace(SCHEDULE, cron=cron), [])
