"""What is in a journal stays, whatever was killed when."""

from pathlib import Path

import pytest

from loraflow.evaluate.journal import Journal


def test_items_are_there_again(tmp_path: Path) -> None:
    with Journal(tmp_path / "new" / "j") as journal:
        journal.add("问题 1", {"text": "答\ud800\n", "n": 1})
        journal.add("2", {"text": ""})
    with Journal(tmp_path / "new" / "j") as journal:
        assert journal.done == {"问题 1": {"text": "答\ud800\n", "n": 1}, "2": {"text": ""}}


def test_the_last_of_two_counts(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.add("1", {"n": 1})
        journal.add("1", {"n": 2})
    with Journal(tmp_path / "j") as journal:
        assert journal.done == {"1": {"n": 2}}


@pytest.mark.parametrize("rest", [b'["3", {"n"', b"\x00\x00\x00\n", b'["3", {"n": 3}]'])
def test_a_line_that_was_cut_off_is_taken_off(rest: bytes, tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.add("1", {"n": 1})
    with path.open("ab") as file:
        file.write(rest)
    with Journal(path) as journal:
        assert list(journal.done) == ["1"]
        journal.add("2", {"n": 2})
    with Journal(path) as journal:
        assert list(journal.done) == ["1", "2"]
