"""A dataset of the hub is found in the local cache, and its test split stays out of training."""

from collections.abc import Callable
from pathlib import Path

import pytest

from loraflow.data.read.sources import find_sources, fingerprint
from loraflow.errors import UserError
from tests.data.sources import file_data, prepared, rows_of, write_rows

ROWS = [{"instruction": f"第{number}问", "output": f"回答{number}"} for number in range(6)]
Publish = Callable[..., None]


@pytest.fixture
def publish(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Put files into an empty cache, laid out as huggingface_hub does it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))

    def put(name: str, *files: str, branch: str = "main", commit: str = "c0ffee") -> None:
        repository = tmp_path / "cache" / f"datasets--{name.replace('/', '--')}"
        (repository / "refs").mkdir(parents=True, exist_ok=True)
        (repository / "refs" / branch).write_text(commit)
        for number, file in enumerate(files):
            blob = write_rows(repository / "blobs" / f"{commit}{number}{Path(file).suffix}", ROWS)
            link = repository / "snapshots" / commit / file
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(blob)

    return put


def names(path: str) -> list[str]:
    return [source.name for source in find_sources(file_data(path))]


def test_dataset_is_read_through_the_whole_stage(publish: Publish, tmp_path: Path) -> None:
    publish("owner/whole", "data/train-00000-of-00001.parquet", "data/test-00000-of-00001.parquet")
    summary = prepared(file_data("hub:owner/whole"), tmp_path / "out")
    assert summary["counts"]["read"] == 6
    assert {row["source"] for row in rows_of(tmp_path / "out", "train")} == {
        "owner/whole/data/train-00000-of-00001.parquet"
    }


@pytest.mark.parametrize(
    ("name", "files", "chosen"),
    [
        ("a/one", ["train.jsonl", "test.jsonl", "dev.jsonl"], ["train.jsonl"]),
        (
            "a/two",
            ["en/train-0.json", "zh/train-0.json", "zh/val.json"],
            ["en/train-0.json", "zh/train-0.json"],
        ),
        ("a/three", ["train/0.csv", "test/0.csv"], ["train/0.csv"]),
        (
            "a/four",
            ["train_test_split/test.csv", "train_test_split/training.csv"],
            ["train_test_split/training.csv"],
        ),
        ("a/five", ["constraints.json", "test.json"], ["constraints.json"]),
        ("a/six", ["rows.json", "validation.json"], ["rows.json"]),
        ("a/seven", ["test.json"], ["test.json"]),
        ("a/eight", ["latest.json", "contest.json"], ["contest.json", "latest.json"]),
        ("a/nine", ["rows.json", "dataset_infos.json", ".hidden.json"], ["rows.json"]),
    ],
)
def test_training_files_are_chosen(
    publish: Publish, name: str, files: list[str], chosen: list[str]
) -> None:
    publish(name, *files)
    assert names(f"hub:{name}") == [f"{name}/{file}" for file in chosen]


def test_pattern_names_the_files_whatever_their_split(publish: Publish) -> None:
    publish("b/pattern", "zh/train.jsonl", "zh/test.jsonl", "en/train.jsonl", "readme.json")
    assert names("hub:b/pattern:zh/*") == ["b/pattern/zh/test.jsonl", "b/pattern/zh/train.jsonl"]
    assert names("hub:b/pattern:**/test.*") == ["b/pattern/zh/test.jsonl"]
    with pytest.raises(UserError, match=r"data\.path=hub:b/pattern:fr/\* holds no data file"):
        names("hub:b/pattern:fr/*")


def test_revision_is_a_branch_or_a_commit(publish: Publish) -> None:
    publish("c/revised", "new.jsonl")
    publish("c/revised", "old.jsonl", branch="v1", commit="decade0" * 5 + "decad")
    assert names("hub:c/revised") == ["c/revised/new.jsonl"]
    assert names("hub:c/revised@v1") == ["c/revised/old.jsonl"]
    assert names("hub:c/revised@v1:*.jsonl") == ["c/revised/old.jsonl"]
    assert names(f"hub:c/revised@{'decade0' * 5 + 'decad'}") == ["c/revised/old.jsonl"]


def test_fingerprint_does_not_depend_on_the_cache(publish: Publish, tmp_path: Path) -> None:
    publish("d/print", "train.jsonl")
    first = fingerprint(file_data("hub:d/print"))
    assert fingerprint(file_data("hub:d/print", "data.max_reject_rate=0.5")) == first
    assert str(tmp_path) not in names("hub:d/print")[0]


@pytest.mark.parametrize("path", ["hub:e/unknown", "hub:e/unknown@v2", "hub:e--e/x", "hub:e/x..y"])
def test_unknown_dataset_is_an_error_that_says_what_to_do(publish: Publish, path: str) -> None:
    publish("e/known", "train.jsonl")
    with pytest.raises(UserError, match=rf"data\.path={path.partition('@')[0]} .*(cannot|is no)"):
        names(path)


@pytest.mark.parametrize(
    "path", ["hub:", "hub:name", "hub:a/b/c", "hub:a/b:", "hub:a/b:/etc/*", "hub:a/b:../*.json"]
)
def test_malformed_name_says_how_to_write_it(path: str) -> None:
    with pytest.raises(UserError, match="is no dataset of the hub; write hub:OWNER/NAME"):
        names(path)
