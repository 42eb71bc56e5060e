"""Calls of a judge that got no answer: nothing is finished on them, since the next may get one."""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loraflow.errors import UserError
from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.local import NO_ROOM

_REFUSED = re.compile(rf"status 4(00|13|22)\b|{re.escape(NO_ROOM)}")  # for what is asked, so again


@contextmanager
def all_answered(folder: Path) -> Iterator[None]:
    """Ask a judge within the block, which keeps its replies in journals in the folder.

    A call that was refused for what it asks, such as a text too long, is a failure for good.

    Raises:
        UserError: if another call within the block got no answer.
    """
    before = {file.name: _size(file) for file in folder.glob("*.jsonl")}
    yield
    replies = [
        reply
        for file in sorted(folder.glob("*.jsonl"))
        for reply in _replies(file, behind=before.get(file.name, 0))
    ]
    failed = [reply["judgment"] for reply in replies if _may_pass(reply)]
    if failed:
        raise UserError(
            f"judge.api: {len(failed):,} of {len(replies):,} calls got no answer ({failed[-1]}); "
            "what was judged is kept, run it again"
        )


def _size(file: Path) -> int:
    with Journal(file):  # takes off what a killed process left
        return file.stat().st_size


def _replies(file: Path, *, behind: int) -> Iterator[Mapping[str, Any]]:
    with file.open("rb") as lines:
        lines.seek(behind)
        for line in lines:
            _, reply = json.loads(line)
            yield reply


def _may_pass(reply: Mapping[str, Any]) -> bool:
    return reply["failure"] == "call" and not _REFUSED.match(reply["judgment"])
