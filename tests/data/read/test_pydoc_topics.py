"""The raw text that comes with Python: nothing of it is lost, and every passage has its line."""

import ast
import sys
from pathlib import Path

import pytest

from loraflow.data.read import pydoc_topics
from loraflow.data.read.pydoc_topics import hash_topics, read_topics
from loraflow.errors import UserError
from tests.conftest import composed
from tests.data.sources import prepared, rows_of

Rows = list[tuple[int, str]]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return [(line, row["text"]) for line, row in read_topics()]


def packed(text: str) -> str:
    return "".join(text.split())


def test_every_chapter_is_there_whole(rows: Rows) -> None:
    module = ast.parse(pydoc_topics._file().read_text(encoding="utf-8"))
    topics = ast.literal_eval(module.body[-1].value)  # type: ignore[attr-defined]
    assert packed("".join(text for _, text in rows)) == packed("".join(topics.values()))
    assert len(topics) > 70


def test_nothing_is_imported_for_it() -> None:
    before = set(sys.modules)
    next(read_topics())
    assert set(sys.modules) == before
    assert "pydoc_data.topics" not in before


def test_passages_are_of_a_size_to_train_on(rows: Rows) -> None:
    sizes = sorted(len(text) for _, text in rows)
    assert len(rows) > 400
    assert 600 < sizes[len(sizes) // 2] <= 1_200
    assert sizes[-1] > 2_000  # a table is not torn apart


def test_code_keeps_its_indentation_and_sections_their_heading(rows: Rows) -> None:
    first = rows[0][1]
    assert first.startswith('The "assert" statement\n***')
    assert '\n\n   assert_stmt ::= "assert" expression' in first


def test_a_line_is_where_the_passage_begins_in_the_file(rows: Rows) -> None:
    lines = pydoc_topics._file().read_text(encoding="utf-8").splitlines()
    for line, text in rows:
        words = text.split()[0].partition("'")[0].partition("\\")[0]
        assert words in "".join(lines[line - 1 : line + 1])  # a line may be broken at a space


def test_a_file_written_otherwise_is_read_the_same_way() -> None:
    """From 3.14 on, a chapter may be one literal over many lines."""
    source = "topics = {\n    'a': r'''Title\n*****\n\nOne.\n\n   code\n''',\n    'b': 'Two\\n'}\n"
    chapters = [list(pydoc_topics._passages(part)) for part in pydoc_topics._chapters(source)]
    assert chapters == [[(2, "Title\n*****\n\nOne.\n\n   code")], [(9, "Two")]]


def test_a_python_without_it_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(UserError, match=r"data\.layout=pydoc_topics reads .*topics\.py.*data=text"):
        next(read_topics())


def test_digest_is_stable_and_names_the_python_version() -> None:
    version = ".".join(str(part) for part in sys.version_info[:3])
    assert hash_topics() == hash_topics()
    assert hash_topics().startswith(f"python-{version}-")


def test_its_own_cleaning_keeps_enough_to_train_and_to_hold_out(tmp_path: Path) -> None:
    summary = prepared(composed("train=text", "data=pydoc_topics", "template=text").data, tmp_path)
    assert summary["counts"]["train"] > 300
    assert summary["counts"]["held_out"] == 50
    assert set(summary["rejected_by"]) <= {"exact_duplicates", "near_duplicates", "length"}
    row = rows_of(tmp_path, "train")[0]
    assert (row["kind"], row["source"]) == ("text", "Python's pydoc_data/topics.py")
