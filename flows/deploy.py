"""The nightly deployment: register it with a running Prefect server, and work for it.

python -m flows.deploy                              # make deploy
python -m flows.deploy data=file data.path=inbox    # nights run with these words
python -m flows.deploy --register                   # register, and start no worker
"""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from uuid import UUID

import psutil
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker
from pydantic import ValidationError

from flows.command import run_safely
from flows.night_command import night_words, read_night
from flows.reaper import drop_missed, reap
from flows.server import Api, prefect_home, running_url
from loraflow.config.nightly import ScheduleConfig
from loraflow.errors import UserError
from loraflow.lock import is_held, locked

ROOT = Path(__file__).resolve().parents[1]
NAME = "nightly"  # of the flow, its deployment and its queue, as in prefect.yaml
_REAP_SECONDS = 30
_STOP_SECONDS = 60  # a training needs them to end its step and save


def register(schedule: ScheduleConfig, words: Sequence[str], entrypoint: str | None = None) -> UUID:
    """Register the deployment of prefect.yaml, and return its id.

    Args:
        schedule: fills in what prefect.yaml leaves open
        words: overrides that its runs start with; the dashboard offers them for change
        entrypoint: a flow in place of that of prefect.yaml, FILE:FUNCTION

    Raises:
        UserError: if the schedule cannot be read, or Prefect refuses the deployment.
    """
    _require_cron(schedule)
    with get_client(sync_client=True) as client:
        _prepare_queue(client, schedule.work_pool)
        _deploy(schedule, words, [entrypoint] if entrypoint else [])
        return client.read_deployment_by_name(f"{NAME}/{NAME}").id


def work(pool: str, deployment: UUID) -> None:
    """Run what is scheduled in `pool`, until Ctrl-C or SIGTERM.

    Runs that an earlier worker left behind are ended first; of the nights that were missed, the
    last one is made up for.

    Raises:
        UserError: if a worker of this project is up already.
    """
    lock = prefect_home() / "worker.lock"
    if is_held(lock):
        raise UserError(
            "a worker of this project is up already; end it, "
            'or only register: make deploy ARGS="--register"'
        )
    name = socket.gethostname()
    with locked(lock):
        reap(worker=name)
        drop_missed(deployment, keep=1)
        asyncio.run(_work(ProcessWorker(work_pool_name=pool, name=name)))


def _require_cron(schedule: ScheduleConfig) -> None:
    try:
        CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    except ValidationError as error:
        raise UserError(
            f"schedule.cron={schedule.cron!r} is no cron line: minute, hour, day, month, weekday; "
            "each night at two: schedule.cron='0 2 * * *'"
        ) from error


def _prepare_queue(client: SyncPrefectClient, pool: str) -> None:
    """Make the pool and its queue, of which one run at a time is taken."""
    try:
        kind = client.read_work_pool(pool).type
    except ObjectNotFound:
        template = ProcessWorker.get_default_base_job_template()
        created = WorkPoolCreate(name=pool, type=ProcessWorker.type, base_job_template=template)
        kind = client.create_work_pool(created).type
    if kind != ProcessWorker.type:
        raise UserError(
            f"schedule.work_pool={pool!r} is a pool of type {kind}, and nights run as processes; "
            "set schedule.work_pool to another name, it is made if there is none"
        )
    try:
        queue = client.read_work_queue_by_name(NAME, work_pool_name=pool)
    except ObjectNotFound:
        queue = client.create_work_queue(NAME, work_pool_name=pool)
    client.update_work_queue(queue.id, concurrency_limit=1)


def _deploy(schedule: ScheduleConfig, words: Sequence[str], entrypoint: list[str]) -> None:
    parameters = json.dumps({"words": list(words)}, ensure_ascii=False)
    deploy = [sys.executable, "-m", "prefect", "--no-prompt", "deploy"]
    done = subprocess.run(
        [*deploy, *entrypoint, "--name", NAME, "--params", parameters],
        cwd=ROOT,
        env=os.environ
        | {
            "SCHEDULE_CRON": schedule.cron,
            "SCHEDULE_TIMEZONE": schedule.timezone,
            "SCHEDULE_WORK_POOL": schedule.work_pool,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise UserError(f"Prefect does not take the deployment of prefect.yaml: {said[-500:]}")


async def _work(worker: ProcessWorker) -> None:
    """Let the worker run until a signal comes; then its run ends with a checkpoint first."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    tasks = [asyncio.create_task(worker.start(printer=_say)), asyncio.create_task(_keep_reaping())]
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([*tasks, stopped], return_when=asyncio.FIRST_COMPLETED)
    if stopped in done:
        await _end_runs()
    for task in [*tasks, stopped]:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


async def _keep_reaping() -> None:
    """Find runs that are left behind while this worker runs, such as those of the last one."""
    while True:
        await asyncio.sleep(_REAP_SECONDS)
        with suppress(Exception):  # the server may be down; the worker says so
            await asyncio.to_thread(reap)


async def _end_runs() -> None:
    runs = psutil.Process().children()
    if runs:
        _say(f"the run that is going on ends with a checkpoint (at most {_STOP_SECONDS} s)")
    for run in runs:
        with suppress(psutil.NoSuchProcess):
            run.terminate()
    for _ in range(_STOP_SECONDS):
        if not psutil.Process().children():
            return
        await asyncio.sleep(1)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def main() -> None:
    """Read the command line, register the deployment, work."""
    run_safely(_run)


def _run() -> None:
    only_register = "--register" in sys.argv
    sys.argv[1:] = [word for word in sys.argv[1:] if word != "--register"]
    typed = sys.argv[1:]
    words = night_words()
    if words is None:
        return
    schedule = read_night(words).schedule
    url = running_url()
    if url is None:
        raise UserError(
            "no Prefect server is up to register with; start one in another terminal: "
            "make dashboard (or set PREFECT_API_URL to one that is)"
        )
    with Api(url, None).connected():
        deployment = register(schedule, typed)  # as the dashboard shows them
        page = f"{url.removesuffix('/api')}/deployments/deployment/{deployment}"
        _say(f"nightly: {schedule.cron} {schedule.timezone}, {page}")
        if not only_register:
            work(schedule.work_pool, deployment)


if __name__ == "__main__":
    main()
