"""The default data comes from the standard library's sources: read, never run, always the same."""

import sys
from itertools import islice

import pytest

from loraflow.data.read.pydoc import hash_standard_library, read_pydoc

INSTRUCTION = "Write the summary line."


@pytest.fixture(scope="module")
def rows() -> list[dict[str, str]]:
    return list(read_pydoc(INSTRUCTION))


def test_reading_again_gives_the_same_and_imports_nothing(rows: list[dict[str, str]]) -> None:
    before = set(sys.modules)
    assert list(islice(read_pydoc(INSTRUCTION), 500)) == rows[:500]
    assert set(sys.modules) == before
    assert not {"antigravity", "this"} & before


def test_row_is_instruction_name_with_signature_and_summary(rows: list[dict[str, str]]) -> None:
    (found,) = [row for row in rows if row["input"].startswith("textwrap.dedent\n")]
    assert found == {
        "instruction": INSTRUCTION,
        "input": "textwrap.dedent\ndef dedent(text)",
        "output": "Remove any common leading whitespace from every line in `text`.",
    }


def test_there_are_thousands_of_rows_and_nearly_all_are_unique(rows: list[dict[str, str]]) -> None:
    assert len(rows) > 3_000
    assert len({row["input"] for row in rows}) > 0.99 * len(rows)
    assert len({row["output"] for row in rows}) > 0.8 * len(rows)


def test_answer_is_one_line_that_says_something(rows: list[dict[str, str]]) -> None:
    assert all(row["output"].strip() and "\n" not in row["output"] for row in rows)


def test_private_names_and_test_modules_stay_out(rows: list[dict[str, str]]) -> None:
    names = [row["input"].split("\n")[0].split(".") for row in rows]
    assert not [part for name in names for part in name if part.startswith("_")]
    packages = {name[0] for name in names}
    assert not {"test", "tests", "idlelib", "site-packages"} & packages


def test_digest_is_stable_and_names_the_python_version() -> None:
    version = ".".join(str(part) for part in sys.version_info[:3])
    assert hash_standard_library() == hash_standard_library()
    assert hash_standard_library().startswith(f"python-{version}-")
