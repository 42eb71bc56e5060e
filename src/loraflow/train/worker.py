"""One of several processes that train together; torchrun starts them (loraflow.train.launch)."""

import logging
import os
import sys
from pathlib import Path

from loraflow.errors import Paused, UserError
from loraflow.files import write_json
from loraflow.train.launch import FAULT, PAUSE, RESULT, end_with_launcher, read_order


def main() -> None:
    """Train this process's share of what the file in argv[1] orders."""
    from loraflow.train.machine import take_gpu  # noqa: PLC0415 - the launcher reads constants only
    from loraflow.train.run import train_here  # noqa: PLC0415

    end_with_launcher()
    first = os.environ["RANK"] == "0"
    logging.basicConfig(level=logging.INFO if first else logging.ERROR, format="%(message)s")
    job, out = read_order(Path(sys.argv[1]), log_metric=lambda *_: None)
    try:
        take_gpu(job.settings.processes)
        summary = train_here(job, out)
    except UserError as error:
        _report(job.work, error)
        sys.exit(2)
    except Paused as paused:
        if first:
            write_json(job.work / PAUSE, {"step": paused.step, "steps": paused.steps})
        return
    if first:
        write_json(job.work / RESULT, summary)


def _report(work: Path, error: UserError) -> None:
    """Leave the message to the launcher: any process may have it alone, and it ends the others."""
    own = work / f"{FAULT}.{os.environ['RANK']}"
    write_json(own, {"message": str(error)})
    own.replace(work / FAULT)


if __name__ == "__main__":
    main()
