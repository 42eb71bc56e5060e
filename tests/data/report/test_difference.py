"""Both texts can be read back from their differences, and marks show even what is invisible."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.report.difference import compare, mark_both, mark_new, mark_old

TEXTS = st.text(alphabet="ab 。家\n<&", max_size=60)


@given(TEXTS, TEXTS)
def test_nothing_is_lost_between_two_texts(old: str, new: str) -> None:
    changes = compare(old, new)
    assert "".join(change.old for change in changes) == old
    assert "".join(change.new for change in changes) == new


@given(TEXTS)
def test_equal_texts_have_no_marks(text: str) -> None:
    assert "<del" not in mark_both(compare(text, text))
    assert "<ins" not in mark_both(compare(text, text))


def test_the_changed_words_are_marked() -> None:
    changes = compare("call 13812345678 now", "call [PHONE] now")
    assert mark_old(changes) == "call <del>13812345678</del> now"
    assert mark_new(changes) == "call <ins>[PHONE]</ins> now"
    assert mark_both(changes) == "call <del>13812345678</del><ins>[PHONE]</ins> now"


def test_a_word_is_marked_where_it_differs() -> None:
    assert mark_both(compare("organise it", "organize it")) == (
        "organi<del>s</del><ins>z</ins>e it"
    )


def test_chinese_is_compared_by_characters() -> None:
    assert mark_both(compare("我们的家庭医生", "我们的家里医生")) == (
        "我们的家<del>庭</del><ins>里</ins>医生"
    )


def test_texts_of_the_data_are_escaped() -> None:
    changes = compare("<b>one</b> & same", "<i>two</i> & same")
    assert "<b>" not in mark_both(changes)
    assert "&lt;" in mark_both(changes)


@pytest.mark.parametrize(
    ("removed", "shown"),
    [("\u200b", "[U+200B]"), ("\u3000", "[U+3000]"), (" ", "·"), ("\r", "␍"), ("\t", "→")],
)
def test_invisible_changes_can_be_seen(removed: str, shown: str) -> None:
    assert shown in mark_old(compare(f"before{removed}.", "before."))


def test_what_is_the_same_far_away_is_left_out() -> None:
    same = "the same words again " * 40
    marked = mark_both(compare(f"{same}one{same}", f"{same}two{same}"))
    assert len(marked) < 300
    assert "<del>one</del><ins>two</ins>" in marked


def test_texts_that_differ_everywhere_take_no_time() -> None:
    old = " ".join(f"word{n}" for n in range(20_000))
    new = " ".join(f"other{n}" for n in range(20_000))
    assert len(mark_both(compare(old, new))) < 5_000
