"""Chooses what an adapter and its export are both asked: what training asked, if that is known."""

from collections.abc import Iterator, Sequence
from itertools import islice

from loraflow.config import ExportCheckConfig
from loraflow.data.records import Message
from loraflow.data.tables import read_rows
from loraflow.evaluate.mt_bench.questions import SHIPPED, load_questions
from loraflow.evaluate.prompts import read_prompts
from loraflow.store import Key, Store
from loraflow.tracking.described import Described

Prompt = Sequence[Message]  # a conversation up to the answer

_ALONE = "each alone: if they had a system prompt or earlier turns, these are not in the store"


def choose_prompts(
    check: ExportCheckConfig, run: Described | None, store: Store
) -> tuple[list[Prompt], str]:
    """Return prompts, and in words where they come from.

    MLflow has the last message of each held-out row. What came before it in training, such as the
    system prompt of a persona, is in the store of the machine that trained.

    Raises:
        UserError: if the file of `check.prompts` holds none.
    """
    if check.prompts is not None:
        given = read_prompts(check.prompts, "export.check.prompts")[: check.rows]
        return [*given], f"the first {len(given)} prompts of {check.prompts.name}"
    if run is not None:
        if whole := list(islice(_held_out(run, store), check.rows)):
            return whole, f"{len(whole)} held-out questions of the run"
        if alone := list(islice(_questions(run), check.rows)):
            return alone, f"{len(alone)} held-out questions of the run ({_ALONE})"
    bench = list(islice(_bench(), check.rows))
    return bench, f"{len(bench)} questions of loraflow's bench"


def _held_out(run: Described, store: Store) -> Iterator[Prompt]:
    """Yield what came before the answers of held-out rows, if the store has these."""
    prepared = store.folder(Key("prepare", run.prepared.get("key", ""), {}))
    path = prepared / "held_out.parquet"
    if path.is_file():
        asked = set(run.questions)
        yield from (row.record.prompt for row in read_rows(path) if row.id in asked)


def _questions(run: Described) -> Iterator[Prompt]:
    yield from (_user(text) for text in run.questions.values())


def _bench() -> Iterator[Prompt]:
    """Yield first questions of the shipped sets, one language after the other."""
    for group in zip(*(load_questions(name, "") for name in SHIPPED), strict=False):
        yield from (_user(question.turns[0]) for question in group)


def _user(text: str) -> Prompt:
    return [{"role": "user", "content": text}]
