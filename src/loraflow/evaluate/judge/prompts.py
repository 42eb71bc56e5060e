"""The eight judge prompts of MT-Bench by role, in the words of this project or of FastChat's file.

What is asked: `single` one answer's rating, `pair` which of two is better; `math` with a reference
answer; `multi-turn` about the second of two questions.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from loraflow.errors import UserError
from loraflow.evaluate.judge.base import Exchange, Game

OWN = Path(__file__).with_name("judge_prompts.jsonl")

_MOST_TURNS = 2
_ROLES = {  # (a game, with references, turns) -> the name that FastChat gives to the prompt
    (False, False, 1): "single-v1",
    (False, True, 1): "single-math-v1",
    (False, False, 2): "single-v1-multi-turn",
    (False, True, 2): "single-math-v1-multi-turn",
    (True, False, 1): "pair-v2",
    (True, True, 1): "pair-math-v1",
    (True, False, 2): "pair-v2-multi-turn",
    (True, True, 2): "pair-math-v1-multi-turn",
}
_FORMATS = {"single": "[[rating]]", "pairwise": "[[A]]"}
_FIELD = re.compile(r"{{|}}|{(\w+)}")  # as str.format reads it


@dataclass(frozen=True)
class Prompt:
    """A line of judge_prompts.jsonl."""

    name: str
    type: str  # single or pairwise
    system_prompt: str
    prompt_template: str
    description: str
    category: str
    output_format: str

    def render(self, judged: Exchange | Game) -> tuple[str, str]:
        """Return what the system and what the user says to the judge.

        Braces in questions and answers are text: only the template's own are filled in.
        """
        values = _values(judged)

        def fill(match: re.Match[str]) -> str:
            if match[1] is None:
                return match[0][0]  # a doubled brace stands for one
            return values.get(match[1], match[0])

        return self.system_prompt, _FIELD.sub(fill, self.prompt_template)

    def as_dict(self) -> dict[str, str]:
        """Return the line as JSON has it."""
        return asdict(self)


Prompts = Mapping[str, Prompt]


def load_prompts(path: Path | None) -> Prompts:
    """Read the prompts by name: this project's own, or those of a file of FastChat's shape.

    Raises:
        UserError: if the file is not there, or a prompt is missing or lacks what it asks about.
    """
    source = path or OWN
    if not source.is_file():
        raise UserError(
            f"judge.prompts={source} is no file; name one as FastChat's judge_prompts.jsonl, or "
            "set it to null"
        )
    lines = source.read_text(encoding="utf-8-sig").split("\n")
    found = [_read(line, f"{source}:{n}") for n, line in enumerate(lines, start=1) if line.strip()]
    prompts = {prompt.name: prompt for prompt in found}
    faults = {name: _fault(prompts.get(name), *role) for role, name in _ROLES.items()}
    if named := [f"{name} {fault}" for name, fault in faults.items() if fault]:
        raise UserError(
            f"judge.prompts={source}: {'; '.join(named)}; compare with {OWN.name} of this project"
        )
    return prompts


def prompt_name(judged: Exchange | Game) -> str:
    """Return the name of the prompt that asks about an answer or a game.

    Raises:
        UserError: for more than two questions, or references for only some of them.
    """
    turns = len(judged.questions)
    if turns > _MOST_TURNS:
        raise UserError(
            f"question {judged.id} has {turns} turns, but a judge is asked about one or two; "
            "shorten it in the file of questions"
        )
    if judged.references and len(judged.references) != turns:
        raise UserError(
            f"question {judged.id} has {turns} turns and {len(judged.references)} references; "
            "give one a turn, or none"
        )
    return _ROLES[isinstance(judged, Game), bool(judged.references), turns]


def _read(line: str, place: str) -> Prompt:
    names = [field.name for field in fields(Prompt)]
    try:
        row: Any = json.loads(line)
        return Prompt(**{name: row[name] for name in names})
    except (ValueError, TypeError, KeyError) as error:
        raise UserError(
            f"judge.prompts={place} is no JSON object with {', '.join(names)} ({error!r}); mend it"
        ) from None


def _fault(prompt: Prompt | None, is_game: bool, has_references: bool, turns: int) -> str:
    """Say what is wrong with the prompt of a role; nothing if it will do."""
    if prompt is None:
        return "is missing"
    expected = _FORMATS["pairwise" if is_game else "single"]
    if prompt.output_format != expected:
        return f"has output_format {prompt.output_format!r} instead of {expected!r}"
    texts = ("x",) * turns
    references = texts if has_references else ()
    judged = (
        Game("", texts, texts, texts, references)
        if is_game
        else Exchange("", texts, texts, references)
    )
    held = set(_FIELD.findall(prompt.prompt_template)) - {""}
    needed = set(_values(judged))
    if held == needed:
        return ""
    wrong = [f"lacks {{{name}}}" for name in sorted(needed - held)]
    return ", ".join(wrong + [f"holds an unknown {{{name}}}" for name in sorted(held - needed)])


def _values(judged: Exchange | Game) -> dict[str, str]:
    """Return the text for every placeholder."""
    if isinstance(judged, Game):
        answers = {"answer_a": judged.answers_a, "answer_b": judged.answers_b}
    else:
        answers = {"answer": judged.answers}
    columns = {"question": judged.questions, **answers}
    values = {f"ref_answer_{n}": text for n, text in enumerate(judged.references, start=1)}
    for name, texts in columns.items():
        if len(judged.questions) == 1:
            values[name] = texts[0]
        else:
            values |= {f"{name}_{n}": text for n, text in enumerate(texts, start=1)}
    return values
