"""What `make deploy` does, for the flow of tests/nightly_flow.py: CRON [--register]."""

import sys
from dataclasses import replace

from flows.command import set_environment
from flows.deploy import register, work
from loraflow.config.nightly import ScheduleConfig

SCHEDULE = ScheduleConfig(
    cron="0 2 * * *",
    timezone="Asia/Shanghai",
    timeout_hours=1,
    retries=0,
    retry_minutes=1,
    work_pool="nights",
)


def main() -> None:
    """Register with this cron line, and work unless told not to."""
    set_environment()
    schedule = replace(SCHEDULE, cron=sys.argv[1])
    deployment = register(schedule, ["sleep=0"], "tests/nightly_flow.py:nightly")
    if "--register" not in sys.argv:
        work(schedule.work_pool, deployment)


if __name__ == "__main__":
    main()
