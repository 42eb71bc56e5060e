"""What goes round in circles is set aside; lists, tables and code are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.operators.base import RowOperator
from loraflow.data.operators.repetition import CharacterRepetition, WordRepetition
from loraflow.data.records import Fault
from loraflow.data.shingles import words
from tests.data.operators import on_any_machine, row

CHARACTERS = CharacterRepetition(10, 0.6)
WORDS = WordRepetition(5, 0.5)
few_letters = st.text(alphabet="ab 的", min_size=20, max_size=200)

TABLE = "| name | value |\n|------|-------|\n" + "".join(
    f"| item{n} | {n * n:>5} |\n" for n in range(12)
)
CODE = "".join(f"        self.field_{n} = options.get('field_{n}', None)\n" for n in range(8))
CHINESE = (
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。"
    "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。千山鸟飞绝，万径人踪灭。孤舟蓑笠翁，独钓寒江雪。"
)


@pytest.mark.parametrize("operator", [CHARACTERS, WORDS])
@pytest.mark.parametrize(
    "text", ["I do not know. " * 20, "我不知道。" * 60, "ha " * 100, "很" * 200, "ab\n" * 200]
)
def test_circles_are_set_aside(operator: RowOperator, text: str) -> None:
    found = operator(row(text))
    assert isinstance(found, Fault)
    assert found.value > found.threshold


@pytest.mark.parametrize("operator", [CHARACTERS, WORDS])
@pytest.mark.parametrize(
    "text", [TABLE, CODE, CHINESE, "哈哈哈哈哈哈", "No. No. No.", "x" + " " * 500]
)
def test_tables_code_and_short_answers_are_kept(operator: RowOperator, text: str) -> None:
    record = row(text)
    assert operator(record) is record


def test_text_said_twice_has_a_share_of_a_half() -> None:
    text = "".join(map(chr, range(0x4E00, 0x4F00)))
    found = CharacterRepetition(10, 0.4)(row(text + text))
    assert isinstance(found, Fault)
    assert found.value == pytest.approx(0.5, abs=0.02)


@on_any_machine
@given(few_letters, st.integers(1, 4), st.floats(0.05, 0.95))
def test_short_cuts_do_not_change_the_verdict(text: str, n: int, max_share: float) -> None:
    spaced = " ".join(text.split())
    assert isinstance(CharacterRepetition(n, max_share)(row(text)), Fault) == (
        len(text) >= 10 * n and exceeds(list(spaced), n, max_share)
    )
    assert isinstance(WordRepetition(n, max_share)(row(text)), Fault) == (
        exceeds(words(text), n, max_share)
    )


def exceeds(parts: list[str], n: int, max_share: float) -> bool:
    """Count all n-grams."""
    if len(parts) < 10 * n:
        return False
    ngrams = [tuple(parts[place : place + n]) for place in range(len(parts) - n + 1)]
    return len(set(ngrams)) < (1 - max_share) * len(ngrams)
