"""What a local judge reads from probabilities is what they give when worked out by hand."""

from typing import Any

import pytest

from loraflow.evaluate.judge.base import Exchange, Game, Grade, Verdict
from loraflow.evaluate.judge.local import LocalJudge, Reading
from loraflow.model.load import load_for_answers
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer
from tests.evaluate.judge.local_judges import (
    SCALE,
    judge_of,
    log_likelihood,
    next_shares,
    random_model,
)
from tests.evaluate.judge.scripted import ignore, row

ROWS = [
    row("1", "你是谁？", "家父是大理寺少卿甄远道。"),
    row("2", "Return the name of the file.", "Me."),
    row("3", "Who?", "Write the summary line of the docstring of this Python object."),
    row("4", "What is this?", "class self path key value"),
]
TALK = Exchange("5", ("Who?", "And then?"), ("Me.", "Not you."))
UNASKED = "<|im_start|>user\n<|im_end|>\n<|im_start|>assistant\n"
READINGS: tuple[Reading, ...] = ("rating", "information")


@pytest.fixture
def tokenizer(tiny_base: BaseModel) -> Tokenizer:
    return load_tokenizer(tiny_base)


@pytest.fixture
def model(tokenizer: Tokenizer) -> Any:
    return random_model(tokenizer)


def ids_of(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


def test_information_is_the_difference_of_log_likelihoods(
    model: Any, tokenizer: Tokenizer, tiny_base: BaseModel
) -> None:
    grades = judge_of(model, tokenizer, tiny_base, "information").grade([*ROWS, TALK], ignore)
    opening = ids_of(tokenizer, UNASKED)
    for exchange, grade in zip([*ROWS, TALK], grades, strict=True):
        asked = "".join(
            f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n{answer}<|im_end|>\n"
            for question, answer in zip(exchange.questions, exchange.answers, strict=True)
        ).removesuffix(f"{exchange.answers[-1]}<|im_end|>\n")
        answer = ids_of(tokenizer, exchange.answers[-1])
        expected = log_likelihood(model, ids_of(tokenizer, asked), answer)
        expected -= log_likelihood(model, opening, answer)
        assert grade.raw == pytest.approx(expected, abs=1e-3)
        assert abs(expected) > 0.005
        assert grade.rating == pytest.approx(SCALE.rating(expected), abs=1e-3)
        assert grade.prompt == asked


def test_rating_is_the_mean_over_the_probabilities_of_ten_ratings(
    model: Any, tokenizer: Tokenizer, tiny_base: BaseModel
) -> None:
    grades = judge_of(model, tokenizer, tiny_base, "rating").grade(ROWS, ignore)
    for exchange, grade in zip(ROWS, grades, strict=True):
        asked = (
            f"<|im_start|>user\nRate it. {exchange.questions[0]} >>> {exchange.answers[0]}"
            "<|im_end|>\n<|im_start|>assistant\nRating: [["
        )
        shares = next_shares(model, ids_of(tokenizer, asked))
        one, zero = ids_of(tokenizer, "10")
        ten = float(shares[one] * next_shares(model, [*ids_of(tokenizer, asked), one])[zero])
        chances = [float(shares[ids_of(tokenizer, str(n))[0]]) for n in range(1, 10)] + [ten]
        chances[0] -= ten
        expected = sum(n * chance for n, chance in enumerate(chances, start=1)) / sum(chances)
        assert grade.raw == grade.rating == pytest.approx(expected, abs=1e-4)
        assert grade.prompt == asked
    assert len({round(grade.raw or 0, 2) for grade in grades}) == len(ROWS)


def test_ten_may_be_one_token(tokenizer: Tokenizer, tiny_base: BaseModel) -> None:
    tokenizer.add_tokens("10")
    model = random_model(tokenizer)
    (grade,) = judge_of(model, tokenizer, tiny_base, "rating").grade(ROWS[1:2], ignore)
    shares = next_shares(model, ids_of(tokenizer, grade.prompt))
    chances = [float(shares[ids_of(tokenizer, str(n))[0]]) for n in range(1, 11)]
    expected = sum(n * chance for n, chance in enumerate(chances, start=1)) / sum(chances)
    assert grade.raw == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("reading", READINGS)
def test_order_and_company_change_nothing(
    model: Any, tokenizer: Tokenizer, tiny_base: BaseModel, reading: Reading
) -> None:
    judge = judge_of(model, tokenizer, tiny_base, reading)
    heard: dict[int, Grade] = {}
    together = judge.grade([*ROWS, TALK], heard.__setitem__)
    assert [heard[place] for place in range(5)] == together
    backwards = judge.grade([TALK, *reversed(ROWS)], ignore)[::-1]
    for one, other in zip(together, backwards, strict=True):
        assert one.raw == pytest.approx(other.raw, abs=1e-4)
    for exchange, grade in zip(ROWS, together, strict=False):
        assert judge.grade([exchange], ignore)[0].raw == pytest.approx(grade.raw, abs=1e-4)


@pytest.mark.parametrize("answer", ["", "  \n"])
def test_empty_answer_holds_no_information(
    model: Any, tokenizer: Tokenizer, tiny_base: BaseModel, answer: str
) -> None:
    judge = judge_of(model, tokenizer, tiny_base, "information")
    grades = judge.grade([*ROWS, row("9", "Who?", answer)], ignore)
    assert grades[-1].raw == 0.0


def test_information_without_a_scale_gives_no_rating(
    model: Any, tokenizer: Tokenizer, tiny_base: BaseModel
) -> None:
    judge = judge_of(model, tokenizer, tiny_base, "information", scale=None)
    with pytest.raises(ValueError, match="make the card first"):
        judge.grade(ROWS, ignore)


@pytest.mark.parametrize("reading", READINGS)
def test_higher_raw_value_wins(
    model: Any, tokenizer: Tokenizer, tiny_base: BaseModel, reading: Reading
) -> None:
    judge = judge_of(model, tokenizer, tiny_base, reading)
    one, other = judge.grade([row("1", "Who?", "Me."), row("1", "Who?", "the key")], ignore)
    assert one.raw is not None and other.raw is not None
    games = [
        Game("1", ("Who?",), ("Me.",), ("the key",)),
        Game("1", ("Who?",), ("the key",), ("Me.",)),
        Game("1", ("Who?",), ("Me.",), ("Me.",)),
    ]
    heard: dict[int, Verdict] = {}
    verdicts = judge.play(games, heard.__setitem__)
    first = "a" if one.raw > other.raw else "b"
    assert [verdict.winner for verdict in verdicts] == [first, "ab"[first == "a"], "tie"]
    assert [heard[place] for place in range(3)] == verdicts
    assert not judge.sees_both


def test_long_question_is_cut_and_the_answer_is_not(
    tokenizer: Tokenizer, tiny_base: BaseModel
) -> None:
    model = random_model(tokenizer, window=128)
    long = row("1", "the name of the file " * 40 + "Who?", "Write the summary line.")
    judge = judge_of(model, tokenizer, tiny_base, "information")
    (grade,) = judge.grade([long], ignore)
    context = ids_of(tokenizer, grade.prompt)
    answer = ids_of(tokenizer, "Write the summary line.")
    assert len(context) + len(answer) == 128
    assert grade.prompt.endswith("Who?<|im_end|>\n<|im_start|>assistant\n")
    opening = ids_of(tokenizer, UNASKED)
    expected = log_likelihood(model, context, answer) - log_likelihood(model, opening, answer)
    assert grade.raw == pytest.approx(expected, abs=1e-3)
    assert judge.questions_cut == 1


def test_long_question_is_cut_inside_the_judge_prompt(
    tokenizer: Tokenizer, tiny_base: BaseModel
) -> None:
    model = random_model(tokenizer, window=128)
    long = row("1", "the name of the file " * 40 + "Who?", "Write the summary line.")
    judge = judge_of(model, tokenizer, tiny_base, "rating")
    grades = judge.grade([long, ROWS[1]], ignore)
    assert "Rate it. " in grades[0].prompt
    assert "the file Who? >>> Write the summary line." in grades[0].prompt
    assert 100 < len(ids_of(tokenizer, grades[0].prompt)) < 128
    assert judge.questions_cut == 1


@pytest.mark.parametrize("reading", READINGS)
def test_answer_longer_than_the_window_is_a_failure(
    tokenizer: Tokenizer, tiny_base: BaseModel, reading: Reading
) -> None:
    model = random_model(tokenizer, window=128)
    judge = judge_of(model, tokenizer, tiny_base, reading)
    long, short = judge.grade([row("1", "Who?", "key value " * 99), ROWS[1]], ignore)
    assert (long.raw, long.rating, long.failure) == (None, None, "call")
    assert "no room" in long.judgment
    assert short.failure == ""
    (verdict,) = judge.play([Game("1", ("Who?",), ("key " * 200,), ("Me.",))], ignore)
    assert (verdict.winner, verdict.failure) == (None, "call")


def test_hash_names_what_the_judgment_depends_on(
    model: Any, tokenizer: Tokenizer, tiny_base: BaseModel
) -> None:
    def judge(reading: Reading, **changes: Any) -> LocalJudge:
        return judge_of(model, tokenizer, tiny_base, reading, **changes)

    hashes = [
        judge("information").prompt_hash(ROWS[0]),
        judge("information").prompt_hash(ROWS[1]),
        judge("information", scale=None).prompt_hash(ROWS[0]),
        judge("rating").prompt_hash(ROWS[0]),
        judge("rating").prompt_hash(Game("1", ("a",), ("b",), ("c",))),
    ]
    assert len(set(hashes)) == len(hashes)
    assert judge("rating").prompt_hash(ROWS[0]) == hashes[3]
    assert judge("rating").prompt_name(TALK) == "single-v1-multi-turn"
    assert judge("information").prompt_name(TALK) == "information"


def test_loaded_base_judges(tiny_base: BaseModel, tokenizer: Tokenizer) -> None:
    model = load_for_answers(tiny_base, None)
    for reading in READINGS:
        grades = judge_of(model, tokenizer, tiny_base, reading).grade(ROWS, ignore)
        assert all(1 <= (grade.rating or 0) <= 10 for grade in grades)
