"""The nightly deployment on a real Prefect server, with a real worker; processes really killed."""

import os
import signal
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import psutil
import pytest

from tests.nights import Nights, wait_for
from tests.tracking.servers import run_of, tracking_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def nights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nights]:
    nights = Nights(tmp_path_factory.mktemp("nights"))
    yield nights
    nights.stop()


@pytest.fixture
def worker(nights: Nights) -> Iterator["psutil.Process"]:
    process = nights.deploy()
    yield psutil.Process(process.pid)
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, nights.log_of(process)


def test_deployment_has_the_schedule_and_shows_the_next_nights(nights: Nights) -> None:
    nights.deploy("0 2 * * *", "--register")
    deployment = nights.deployment
    (schedule,) = deployment.schedules
    assert (schedule.schedule.cron, schedule.schedule.timezone) == ("0 2 * * *", "Asia/Shanghai")
    assert deployment.parameters == {"words": ["sleep=0"]}
    words = deployment.parameter_openapi_schema["properties"]["words"]
    assert {"type": "array", "items": {"type": "string"}} in words["anyOf"]
    queue = nights.client.read_work_queue_by_name("nightly", work_pool_name="nights")
    assert queue.concurrency_limit == 1
    shanghai = ZoneInfo("Asia/Shanghai")
    assert {time.astimezone(shanghai).hour for _, time in wait_for(nights.planned)} == {2}


@pytest.mark.usefixtures("worker")
def test_run_from_the_dashboard_takes_changed_parameters(nights: Nights) -> None:
    run = nights.request("sleep=0", "name=变了")
    assert nights.ended(run) == "Completed"
    note = nights.note("变了")
    assert note["words"] == ["sleep=0", "name=变了"]
    assert note["cwd"] == os.getcwd()


@pytest.mark.usefixtures("worker")
def test_wrong_word_fails_with_a_short_error(nights: Nights) -> None:
    run = nights.request("slepp=1")
    assert nights.ended(run) == "Failed"
    assert "slepp is not a key of the config; choose sleep" in str(nights.run(run).state)
    assert "Traceback" not in nights.log_of(nights.processes[-1])


@pytest.mark.usefixtures("worker")
def test_second_of_two_waits_for_the_first(nights: Nights) -> None:
    runs = [nights.request("sleep=5", "name=one"), nights.request("sleep=1", "name=two")]
    assert [nights.ended(run) for run in runs] == ["Completed", "Completed"]
    first, second = sorted((nights.note(name) for name in ("one", "two")), key=lambda n: n["began"])
    assert first["ended"] <= second["began"]


@pytest.mark.usefixtures("worker")
def test_killed_run_is_crashed_and_the_next_one_starts(nights: Nights) -> None:
    run = nights.request("sleep=600", "name=killed")
    os.kill(nights.note("killed")["pid"], signal.SIGKILL)
    assert nights.ended(run) == "Crashed"
    assert nights.ended(nights.request("sleep=0")) == "Completed"


def test_killed_worker_and_run_are_mended_by_the_next_worker(
    nights: Nights, worker: psutil.Process
) -> None:
    run = nights.request("sleep=600", "name=both")
    pid = nights.note("both")["pid"]
    worker.kill()
    os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    assert nights.run(run).state_name == "Running"
    again = nights.deploy()
    assert nights.ended(run) == "Crashed"
    assert nights.ended(nights.request("sleep=0")) == "Completed"
    again.send_signal(signal.SIGINT)
    assert again.wait(60) == 0


@pytest.mark.usefixtures("worker")
def test_cancel_stops_the_work_and_keeps_the_checkpoint(nights: Nights) -> None:
    run = nights.request("sleep=600", "name=cancelled")
    note = nights.note("cancelled")
    nights.cancel(run)
    assert nights.ended(run) == "Cancelled"
    assert not psutil.pid_exists(note["pid"])
    assert (nights.folder / "checkpoint").exists()
    tracked = run_of(tracking_in(nights.folder, "nights"), note["run"])
    assert tracked.info.status == "KILLED"
    assert tracked.data.tags["loraflow.state"] == "killed"


@pytest.mark.usefixtures("worker")
def test_run_outlives_a_restart_of_the_server(nights: Nights) -> None:
    run = nights.request("sleep=30", "name=outlives")
    nights.note("outlives")
    nights.server.kill()
    nights.server.wait()
    nights.serve()
    assert nights.ended(run) == "Completed"


def test_ctrl_c_ends_the_worker_and_its_run_in_order(
    nights: Nights, worker: psutil.Process
) -> None:
    run = nights.request("sleep=600", "name=interrupted")
    note = nights.note("interrupted")
    worker.send_signal(signal.SIGINT)
    worker.wait(60)
    assert not psutil.pid_exists(note["pid"])
    assert nights.run(run).state_name == "Crashed"
    tracked = run_of(tracking_in(nights.folder, "nights"), note["run"])
    assert tracked.data.tags["loraflow.state"] == "killed"


def test_of_missed_nights_one_is_made_up_for(nights: Nights) -> None:
    nights.deploy("0 2 * * *", "--register")
    missed = wait_for(nights.planned)[:3]
    for run, due in missed:
        nights.move(run, due - timedelta(days=4))  # as if the machine had been off since
    assert nights.planned()[2][1] < datetime.now(UTC)
    worker = nights.deploy()
    states = [nights.ended(run) for run, _ in missed]
    assert states == ["Cancelled", "Cancelled", "Completed"]
    worker.send_signal(signal.SIGINT)
    assert worker.wait(60) == 0


def test_cron_fires(nights: Nights) -> None:
    began = datetime.now(UTC)
    worker = nights.deploy("* * * * *")
    fired = wait_for(
        lambda: [
            run
            for run in nights.runs(state={"type": {"any_": ["COMPLETED"]}})
            if run.auto_scheduled and run.start_time and run.start_time > began
        ]
    )
    assert nights.note("night")["words"] == ["sleep=0"]
    assert len(fired) == 1
    nights.deploy("0 2 * * *", "--register")
    worker.send_signal(signal.SIGINT)
    assert worker.wait(60) == 0


def test_killed_run_by_hand_is_ended_by_the_next_command(nights: Nights) -> None:
    first = nights.start("-m", "tests.nightly_flow", NIGHTS_WORDS="sleep=600 name=hand")
    note = nights.note("hand")
    assert note["pid"] == first.pid
    first.kill()
    first.wait()
    running = {"state": {"type": {"any_": ["RUNNING"]}}}
    (left,) = nights.runs(**running)
    second = nights.start("-m", "tests.nightly_flow", NIGHTS_WORDS="sleep=0")
    assert second.wait(60) == 0, nights.log_of(second)
    assert nights.run(left.id).state_name == "Crashed"


def test_run_by_hand_that_is_to_be_cancelled_is_stopped(nights: Nights) -> None:
    process = nights.start("-m", "tests.nightly_flow", NIGHTS_WORDS="sleep=600 name=stopped")
    nights.note("stopped")
    (run,) = nights.runs(state={"type": {"any_": ["RUNNING"]}})
    nights.cancel(run.id)
    reap = "import flows.reaper as reaper; reaper._CANCEL_SECONDS = 0; reaper.reap()"
    assert nights.start("-c", reap).wait(60) == 0
    assert process.wait(60) != 0
    assert nights.ended(run.id) in ("Crashed", "Cancelled")
