"""A flow in the place of the nightly one, for the tests of its deployment."""

import json
import os
import time
from pathlib import Path

from prefect import flow

from flows.reaper import clear_way, name_process
from flows.server import prefect_api
from loraflow.errors import UserError
from loraflow.store import make_key
from loraflow.tracking.run import open_run
from tests.tracking.servers import tracking_in


@flow(name="nightly", persist_result=False, on_running=[name_process])
def nightly(words: list[str] | None = None) -> None:
    """Do what the words say: sleep=SECONDS, or nothing known."""
    folder = Path(os.environ["NIGHTS_FOLDER"])
    clear_way()
    settings = dict(word.split("=") for word in words or [])
    if unknown := settings.keys() - {"sleep", "name"}:
        raise UserError(f"{unknown.pop()} is not a key of the config; choose sleep")
    name = settings.get("name", "night")
    note = folder / f"{name}.json"
    plan = make_key("experiment", 1, name=name)
    began = time.time()
    with open_run(tracking_in(folder, "nights"), plan, name=name, data="none") as run:
        note.write_text(json.dumps({"pid": os.getpid(), "run": run.id, "cwd": os.getcwd()}))
        (folder / "checkpoint").write_text("half of the work")
        time.sleep(float(settings.get("sleep", 0)))
        run.end_as("finished")
    known = json.loads(note.read_text())
    note.write_text(json.dumps({**known, "began": began, "ended": time.time(), "words": words}))


def main() -> None:
    """Run it by hand, as `make nightly` does, with the words of NIGHTS_WORDS."""
    with prefect_api() as api, api.connected():
        nightly(os.environ["NIGHTS_WORDS"].split())


if __name__ == "__main__":
    main()
