"""Games: two models' answers are compared twice, each shown first once."""

from collections.abc import Sequence
from dataclasses import dataclass

from loraflow.evaluate.journal import Journal
from loraflow.evaluate.judge.asking import ask, journal_key
from loraflow.evaluate.judge.base import Game, Judge, Verdict
from loraflow.evaluate.mt_bench.answers import ModelAnswers
from loraflow.evaluate.mt_bench.judging import MISSING, Judgment, references
from loraflow.evaluate.mt_bench.questions import Question, judged_turns

ERROR = "error"  # FastChat's winner of a game that failed
_G1 = {"a": "model_1", "b": "model_2", "tie": "tie", None: ERROR}
_G2 = {"a": "model_2", "b": "model_1", "tie": "tie", None: ERROR}  # model_2 was shown first
_NOT_PLAYED = Verdict(None)


@dataclass(frozen=True)
class _Match:
    question: Question
    turn: int
    models: tuple[str, str]
    games: tuple[Game, Game]  # model_1 first, and model_2 first
    keys: tuple[str, ...]  # of the games that are played; none if an answer is missing


def judge_pair(
    judge: Judge,
    questions: Sequence[Question],
    *,
    answers: Sequence[ModelAnswers],
    pairs: Sequence[tuple[str, str]],
    journal: Journal,
) -> list[Judgment]:
    """Return FastChat's rows of <judge>_pair.jsonl, ordered by turn, question and pair of models.

    A judge that rates answers one by one cannot see their order: its one game counts as both. A row
    that failed has the winner "error" and in "failure" says why; a missing answer is never judged.
    """
    given = {answer.model: answer for answer in answers}
    matches = [
        _match(judge, question, turn, (given[first], given[second]))
        for turn in (1, 2)
        for question in questions
        if turn in judged_turns(question)
        for first, second in pairs
    ]
    asked = {
        key: game for match in matches for key, game in zip(match.keys, match.games, strict=False)
    }
    verdicts = ask("compare", asked, journal, judge.play, Verdict)
    return [_row(judge, match, verdicts) for match in matches]


def _match(
    judge: Judge, question: Question, turn: int, pair: tuple[ModelAnswers, ModelAnswers]
) -> _Match:
    first, second = (answers.up_to(question.id, turn) for answers in pair)
    models = (pair[0].model, pair[1].model)
    empty = ("",) * turn
    games = (
        _game(question, turn, first or empty, second or empty),
        _game(question, turn, second or empty, first or empty),
    )
    keys: tuple[str, ...] = ()
    if first is not None and second is not None:
        orders = (models, models[::-1]) if judge.sees_both else (models,)
        keys = tuple(
            _key(judge, game, turn, order) for game, order in zip(games, orders, strict=False)
        )
    return _Match(question, turn, models, games, keys)


def _game(question: Question, turn: int, a: tuple[str, ...], b: tuple[str, ...]) -> Game:
    return Game(str(question.id), question.turns[:turn], a, b, references(question, turn))


def _key(judge: Judge, game: Game, turn: int, order: tuple[str, str]) -> str:
    """Name a game by the order of its models too: equal answers have equal prompts."""
    return journal_key("pair", game.id, *order, judge.name, judge.prompt_hash(game), turn)


def _row(judge: Judge, match: _Match, verdicts: dict[str, Verdict]) -> Judgment:
    first, second = _NOT_PLAYED, _NOT_PLAYED
    if match.keys:
        first, second = verdicts[match.keys[0]], verdicts[match.keys[-1]]
    return {
        "question_id": match.question.id,
        "model_1": match.models[0],
        "model_2": match.models[1],
        "g1_winner": _G1[first.winner],
        "g2_winner": (_G2 if judge.sees_both else _G1)[second.winner],
        "judge": [judge.name, judge.prompt_name(match.games[0])],
        "g1_user_prompt": first.prompt,
        "g1_judgment": first.judgment,
        "g2_user_prompt": second.prompt,
        "g2_judgment": second.judgment,
        "failure": first.failure or second.failure if match.keys else MISSING,  # not in FastChat
        "turn": match.turn,
        "tstamp": 0,  # the clock would make equal judgments different files
    }
