"""The questions of MT-Bench: the sets that ship, or FastChat's own files."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from loraflow.errors import UserError
from loraflow.evaluate.mt_bench.rows import Row, file_name, read_rows

SHIPPED = ("en", "zh")
TEMPERATURES = {  # FastChat's, for answers
    "writing": 0.7,
    "roleplay": 0.7,
    "reasoning": 0.0,
    "math": 0.0,
    "coding": 0.0,
    "extraction": 0.0,
    "stem": 0.1,
    "humanities": 0.1,
    "arena-hard-200": 0.0,
}
OTHER_TEMPERATURE = 0.7
CATEGORIES = tuple(TEMPERATURES)[:8]  # MT-Bench's own, in its order
NEED_REFERENCE = frozenset({"math", "reasoning", "coding", "arena-hard-200"})
_TURNS = 2  # questions with as many are judged on both, all others on their first


@dataclass(frozen=True)
class Question:
    """What a model is asked, turn by turn."""

    id: int
    category: str
    turns: tuple[str, ...]
    references: tuple[str, ...] = ()  # right answers, one a turn; empty if there are none


def load_questions(source: str, judge_name: str) -> list[Question]:
    """Return the questions of `source`, in the order of the file.

    Args:
        source: "en" or "zh", the sets that ship; a file like FastChat's question.jsonl; or a folder
            with question.jsonl. References are read from reference_answer/ beside that file.
        judge_name: chooses reference_answer/<judge_name>.jsonl; without it the only file is taken.

    Raises:
        UserError: for a bad file, a question twice, or a question that lacks the reference that
            its category is judged with.
    """
    key = f"evaluate.mt_bench.questions={source!r}"
    file, folder = _locate(source, key)
    references = _references(folder / "reference_answer", judge_name, key)
    questions: dict[int, Question] = {}
    for row in read_rows(file, key):
        question = _question(row)
        if question.id in questions:
            raise UserError(
                f"{row.where}: question_id={question.id} stands there twice; give each its own"
            )
        questions[question.id] = replace(question, references=references.get(question.id, ()))
    if not questions:
        raise UserError(f"{key}: {file} holds no question; write one JSON object a line")
    _require_references(questions.values(), key, judge_name)
    return list(questions.values())


def guided(question: Question) -> bool:
    """Tell whether the judge is shown the right answer."""
    return question.category in NEED_REFERENCE


def judged_turns(question: Question) -> tuple[int, ...]:
    """Return the turns that are judged, from 1: both of two, else the first."""
    return (1, 2) if len(question.turns) == _TURNS else (1,)


def temperature(category: str) -> float:
    """Return how warm FastChat samples the answers of a category; 0 is greedy."""
    return TEMPERATURES.get(category, OTHER_TEMPERATURE)


def _locate(source: str, key: str) -> tuple[Traversable, Traversable]:
    """Return the file of the questions and the folder it is in."""
    if source in SHIPPED:
        folder = files("loraflow.evaluate.mt_bench") / "sets" / source
        return folder / "question.jsonl", folder
    path = Path(source)
    file = path / "question.jsonl" if path.is_dir() else path
    if not file.is_file():
        raise UserError(
            f"{key}: there is no file {file}; choose {' or '.join(SHIPPED)}, or give the path of a "
            "question.jsonl or of its folder"
        )
    return file, file.parent


def _question(row: Row) -> Question:
    turns = row.texts("turns")
    if not turns or not all(turn.strip() for turn in turns):
        raise row.error("turns", list(turns), "a list of questions, none of them empty")
    return Question(row.integer("question_id"), row.text("category"), turns)


def _references(folder: Traversable, judge_name: str, key: str) -> dict[int, tuple[str, ...]]:
    """Read the right answers, which FastChat keeps as answers of a judge."""
    found = {}
    if folder.is_dir():
        found = {file.name: file for file in folder.iterdir() if file.name.endswith(".jsonl")}
    if not found:
        return {}
    wanted = f"{file_name(judge_name)}.jsonl"
    if wanted not in found and len(found) > 1:
        raise UserError(
            f"{key}: {folder} holds {', '.join(sorted(found))}, none of them for the judge "
            f"{judge_name}; copy the right one to {wanted}"
        )
    file = found.get(wanted) or next(iter(found.values()))
    return {row.integer("question_id"): row.first_choice() for row in read_rows(file, key)}


def _require_references(questions: Iterable[Question], key: str, judge_name: str) -> None:
    lacking = [
        question
        for question in questions
        if guided(question) and len(question.references) < len(judged_turns(question))
    ]
    if lacking:
        ids = ", ".join(str(question.id) for question in lacking[:10])
        names = ", ".join(sorted({question.category for question in lacking}))
        raise UserError(
            f"{key}: {len(lacking)} questions of the categories {names} lack a reference for each "
            f"turn (question_id {ids}); write them to "
            f"reference_answer/{file_name(judge_name)}.jsonl, or name the category otherwise"
        )
