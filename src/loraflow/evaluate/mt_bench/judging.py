"""What single-answer grading and games share: what a judge is shown, and resume after a kill."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar

from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.base import Exchange, Game, Grade, Verdict
from loraflow.evaluate.mt_bench.questions import Question, guided
from loraflow.evaluate.mt_bench.rows import file_name
from loraflow.progress import progress

Judgment = dict[str, Any]
"""A row of FastChat's model_judgment files."""
MISSING = "missing_answer"  # a failure of the model, beside the judge's own "call" and "format"
_NO_CALL = "$ERROR$"  # FastChat's judgment after all retries

Asked = TypeVar("Asked", Exchange, Game)
Reply = TypeVar("Reply", Grade, Verdict)


def judgment_path(folder: Path, judge_name: str, kind: Literal["single", "pair"]) -> Path:
    """Return where FastChat keeps judgments: model_judgment/<judge>_<kind>.jsonl."""
    return folder / "model_judgment" / f"{file_name(judge_name)}_{kind}.jsonl"


def references(question: Question, turn: int) -> tuple[str, ...]:
    """Return the right answers that the judge is shown: to the turns so far, or none."""
    return question.references[:turn] if guided(question) else ()


def failure_of(row: Judgment) -> str:
    """Return why a failed row failed; FastChat's rows tell it only by what the judge wrote."""
    written = [row.get(name) for name in ("judgment", "g1_judgment", "g2_judgment")]
    return row.get("failure") or ("call" if _NO_CALL in written else "format")


def journal_key(*parts: str | int) -> str:
    """Join what names a judgment, so that no two are mistaken for each other."""
    return json.dumps(parts)


def ask(
    what: str,
    asked: Mapping[str, Asked],
    journal: Journal,
    method: Callable[[Sequence[Asked], Callable[[int, Reply], None]], list[Reply]],
    kind: type[Reply],
) -> dict[str, Reply]:
    """Return a reply of the kind for each of `asked`, by key; only what is not known yet is asked.

    Each reply is in the journal as soon as it is there. Failures are too, and are asked again.
    """
    known = {key: kind(**journal.done[key]) for key in asked if key in journal.done}
    replies = {key: reply for key, reply in known.items() if not reply.failure}
    missing = [key for key in asked if key not in replies]
    with progress(what, len(asked), "judgments") as bar:
        bar.update(len(replies))

        def keep(place: int, reply: Reply) -> None:
            journal.add(missing[place], asdict(reply))
            replies[missing[place]] = reply
            bar.update(1)

        if missing:
            method([asked[key] for key in missing], keep)
    return replies
