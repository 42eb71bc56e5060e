"""A night: retrain on new data, and promote the challenger only if it is better beyond the noise.

python -m flows.nightly data=file data.path=data/tickets night.name=tickets
python -m flows.nightly                      # the same data as last night: ends as Skipped
"""

import logging
import os
import sys
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from prefect import State, flow, runtime
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed, Failed

from flows.attempts import attempt
from flows.command import readable, run_safely, set_environment
from flows.night_command import NightRequest, night_words, read_night
from flows.reaper import clear_way, name_process
from flows.server import prefect_api
from loraflow.errors import UserError
from loraflow.lock import locked
from loraflow.promote.line import Line
from loraflow.promote.record import NightRecord, user_name
from loraflow.tracking.reason import reason_of

log = logging.getLogger("loraflow")

ROOT = Path(__file__).resolve().parents[1]


def _name() -> str:
    return f"night of {datetime.now().astimezone():%Y-%m-%d %H:%M}"


@flow(
    name="nightly",
    flow_run_name=_name,
    persist_result=False,
    on_running=[name_process],
)
def nightly(words: list[str] | None = None) -> State[NightRecord | None]:
    """Do what is to be done tonight; `words` are overrides of conf/nightly.yaml."""
    set_environment()
    clear_way()
    try:
        request = read_night([readable(word) for word in words or []])
        record = run_night(request, by="schedule" if runtime.deployment.id else user_name())
    except UserError as error:
        return Failed(message=reason_of(error))  # an address may hold a password
    name = record.outcome.replace("_", " ").capitalize()
    state = Failed if record.outcome == "stopped" else Completed
    return state(name=name, message=record.reason, data=record)


def run_night(request: NightRequest, *, by: str) -> NightRecord:
    """Run a night of a line, of which there is one at a time, and keep its record.

    Raises:
        Exception: whatever made it fail, once that is recorded and told.
    """
    from flows.night.run import run
    from flows.night.tonight import Tonight, tell

    line = Line(request.night.folder, request.night.name)
    line.folder.mkdir(parents=True, exist_ok=True)
    with locked(line.lock):
        if killed := line.bury():
            tell(request, killed, None)
        diary = line.begin(by)
        log.info("night %s of %s", diary.id, request.night.name)
        try:
            outcome, reason = attempt(partial(run, Tonight(request, line, diary)), request.schedule)
        except Exception as error:
            _close(request, line, line.end(diary.close("failed", reason_of(error))))
            raise
        record = line.end(diary.close(outcome, reason))
        _close(request, line, record)
    return record


def _close(request: NightRequest, line: Line, record: NightRecord) -> None:
    """Tell people of a record, draw the history, show it, and tidy up."""
    from flows.night.tonight import step, tell
    from flows.tidy import tidy_up
    from loraflow.promote.history.run import write_history

    tell(request, record, line.history)  # first: whatever fails below, people know
    _show(record, write_history(line.nights(), line.folder))
    if record.decision is not None:  # else what was set aside is still to be looked at
        try:
            step("tidy", tidy_up, request)
        except UserError as error:  # the night has come to its end all the same
            log.warning("nothing was tidied up: %s", error)


def _show(record: NightRecord, page: Path) -> None:
    """Show the night on the page of its flow run."""
    from loraflow.promote.gate.decision import Decision
    from loraflow.promote.gate.markdown import as_markdown

    parts = [f"**{record.outcome.replace('_', ' ').capitalize()}**: {record.reason}"]
    if record.decision is not None:
        parts.append(as_markdown(Decision.from_dict(record.decision)))
    if record.url:
        parts.append(f"[The run in MLflow]({record.url})")
    parts.append(f"The history of all nights: [{page}]({page.as_uri()})")
    create_markdown_artifact("\n\n".join(parts), key="night", description="What the night came to")


def main() -> None:
    """Read the command line, run one night now, say how it ended."""
    run_safely(_run)


def _run() -> None:
    words = night_words()
    if words is None:
        return
    request = read_night(words)
    os.chdir(ROOT)
    with prefect_api() as api, api.connected():
        state: State[Any] = nightly(words, return_state=True)
    if state.is_failed() or state.is_crashed():
        raise UserError(f"{state.name}: {state.message}")
    line = Line(request.night.folder, request.night.name)
    sys.stdout.write(
        f"\n{state.name}: {state.message}\n\n"
        f"history      {os.path.relpath(line.history)}\n"
        "look at it   make ui         (MLflow: Model registry, the run, its decision)\n"
        "             make dashboard  (Prefect: the night, its steps and logs)\n"
    )


if __name__ == "__main__":
    main()
