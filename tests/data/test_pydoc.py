"""The default data comes from the standard library's sources: read, never run, always the same."""

import sys

import pytest

from loraflow.config import DataConfig
from loraflow.data.clean import clean_rows
from loraflow.data.pydoc import hash_standard_library, read_pydoc
from loraflow.data.records import Record
from tests.conftest import composed


@pytest.fixture(scope="module")
def data() -> DataConfig:
    return composed().data


@pytest.fixture(scope="module")
def records(data: DataConfig) -> list[Record]:
    return list(read_pydoc(data))


def names(records: list[Record]) -> list[str]:
    return [record.prompt[0]["content"].split("\n")[1] for record in records]


def test_reading_again_gives_the_same_and_imports_nothing(
    data: DataConfig, records: list[Record]
) -> None:
    before = set(sys.modules)
    assert list(read_pydoc(data)) == records
    assert set(sys.modules) == before
    assert not {"antigravity", "this"} & before


def test_more_than_2000_rows_are_left_after_cleaning(
    data: DataConfig, records: list[Record]
) -> None:
    kept = [row for row in clean_rows(records, data) if isinstance(row, Record)]
    assert len(kept) > 2_000


def test_prompts_and_most_answers_are_unique(records: list[Record]) -> None:
    prompts = {record.prompt[0]["content"] for record in records}
    answers = {record.answer for record in records}
    assert len(prompts) > 0.99 * len(records)
    assert len(answers) > 0.8 * len(records)


def test_prompt_is_instruction_name_and_signature(data: DataConfig, records: list[Record]) -> None:
    (found,) = [row for row in records if "\ntextwrap.dedent\n" in row.prompt[0]["content"]]
    assert found.prompt[0]["content"] == f"{data.instruction}\ntextwrap.dedent\ndef dedent(text)"
    assert found.answer == "Remove any common leading whitespace from every line in `text`."


def test_answer_is_one_line_that_says_something(records: list[Record]) -> None:
    assert all(row.answer.strip() and "\n" not in row.answer for row in records)


def test_private_names_and_test_modules_stay_out(records: list[Record]) -> None:
    parts = [part for name in names(records) for part in name.split(".")]
    assert not [part for part in parts if part.startswith("_")]
    packages = {name.split(".")[0] for name in names(records)}
    assert not {"test", "tests", "idlelib", "site-packages"} & packages


def test_rows_are_counted_from_1(records: list[Record]) -> None:
    assert [record.line for record in records] == list(range(1, len(records) + 1))


def test_digest_is_stable_and_names_the_python_version() -> None:
    version = ".".join(str(part) for part in sys.version_info[:3])
    assert hash_standard_library() == hash_standard_library()
    assert hash_standard_library().startswith(f"python-{version}-")
