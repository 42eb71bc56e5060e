"""What data.path names is found, in a fixed order and each file once, or the error says what is
missing."""

import os
import shutil
from pathlib import Path

import pytest

from loraflow.data.read.sources import HELD_OUT, benchmark_files, find_sources, fingerprint
from loraflow.errors import UserError
from tests.data.sources import file_data, write_rows

ROWS = [{"instruction": "你是谁？", "output": "家父是大理寺少卿甄远道。"}]


def put(folder: Path, *names: str) -> Path:
    for name in names:
        write_rows(folder / name, ROWS)
    return folder


def names(*paths: Path | str) -> list[str]:
    return [source.name for source in find_sources(file_data(list(paths)))]


def test_file_goes_by_its_name_alone(tmp_path: Path) -> None:
    (source,) = find_sources(file_data(put(tmp_path, "数据.jsonl") / "数据.jsonl"))
    assert (source.name, source.entry) == ("数据.jsonl", 0)
    assert source.size == source.path.stat().st_size


def test_folder_gives_its_data_files_in_order(tmp_path: Path) -> None:
    folder = put(tmp_path / "资料", "b.jsonl", "a.csv.gz", "deep/er/c.parquet", "B.JSON".lower())
    (folder / "README.md").write_text("about")
    (folder / "script.py").write_text("pass")
    assert names(folder) == [
        "资料/a.csv.gz",
        "资料/b.json",
        "资料/b.jsonl",
        "资料/deep/er/c.parquet",
    ]


def test_hidden_files_and_notes_of_datasets_are_no_data(tmp_path: Path) -> None:
    put(tmp_path, "a.arrow", ".b.json", ".git/c.json", "._a.json", ".ipynb_checkpoints/a.json")
    put(tmp_path, "dataset_info.json", "state.json", "dataset_dict.json")
    assert names(tmp_path) == [f"{tmp_path.name}/a.arrow"]


def test_hidden_folder_that_is_named_is_read(tmp_path: Path) -> None:
    put(tmp_path / ".cache", "a.json")
    assert names(tmp_path / ".cache") == [".cache/a.json"]
    assert names(tmp_path / ".cache" / "*.json") == ["a.json"]


def test_pattern_gives_what_it_matches_in_order(tmp_path: Path) -> None:
    put(tmp_path, "b.jsonl", "a.jsonl", "c.csv", "deep/er/d.jsonl", "notes.jsonl/e.csv")
    assert names(tmp_path / "*.jsonl") == ["a.jsonl", "b.jsonl"]
    assert names(tmp_path / "[ac].*") == ["a.jsonl", "c.csv"]
    assert names(tmp_path / "**" / "*.jsonl") == ["a.jsonl", "b.jsonl", "deep/er/d.jsonl"]
    assert names(tmp_path / "d*" / "**" / "*") == ["deep/er/d.jsonl"]


def test_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    put(tmp_path, "a[1].json", "a1.json")
    assert names(tmp_path / "a[1].json") == ["a[1].json"]


def test_list_keeps_its_order_and_numbers_its_entries(tmp_path: Path) -> None:
    put(tmp_path, "z.json", "a/1.json", "a/2.json")
    sources = find_sources(file_data([tmp_path / "z.json", tmp_path / "a"]))
    assert [(source.name, source.entry) for source in sources] == [
        ("z.json", 0),
        ("a/1.json", 1),
        ("a/2.json", 1),
    ]


def test_same_name_in_two_folders_is_told_apart(tmp_path: Path) -> None:
    put(tmp_path, "x/a.json", "y/a.json", "y/b.json")
    paths = [tmp_path / "x" / "a.json", tmp_path / "y" / "a.json", tmp_path / "y" / "b.json"]
    assert names(*paths) == [str(paths[0]), str(paths[1]), "b.json"]


@pytest.mark.parametrize("second", ["a.json", "../x/a.json", ".", "*.json", "./a.js?n"])
def test_file_that_is_named_twice_is_an_error(tmp_path: Path, second: str) -> None:
    folder = put(tmp_path / "x", "a.json")
    with pytest.raises(UserError, match=r"data\.path names .*a\.json twice"):
        names(folder / "a.json", f"{folder}/{second}")


def test_held_out_file_comes_first_and_is_not_trained_on(tmp_path: Path) -> None:
    folder = put(tmp_path / "x", "train.json", "test.json")
    data = file_data(folder, f"data.split.held_out_path={folder}/test.json")
    sources = find_sources(data)
    assert [(source.name, source.entry) for source in sources] == [
        ("test.json", HELD_OUT),
        ("x/train.json", 0),
    ]
    with pytest.raises(UserError, match=r"no file but that of data\.split\.held_out_path"):
        find_sources(
            file_data(folder / "test.json", f"data.split.held_out_path={folder}/test.json")
        )


@pytest.mark.parametrize(
    ("path", "match"),
    [
        ("none.json", r"does not exist \(looked at /.*none\.json\); set data\.path=FILE"),
        ("none", "does not exist"),
        ("file.txt", "no suffix of a known format"),
        ("folder", "holds no data file; known suffixes: .json, .jsonl"),
        ("*.csv", "holds no data file"),
        ("empty.json", "is empty"),
        ("x" * 300 + ".json", "cannot be looked up"),
    ],
)
def test_unusable_path_is_named(tmp_path: Path, path: str, match: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file.txt").write_text("text")
    (tmp_path / "file.txt").write_text("text")
    (tmp_path / "empty.json").touch()
    with pytest.raises(UserError, match=rf"data\.path={tmp_path}/.*{match}"):
        names(tmp_path / path)


def test_home_of_nobody_is_an_error() -> None:
    with pytest.raises(UserError, match=r"data\.path=~no_such_user/a\.json cannot be looked up"):
        names("~no_such_user/a.json")


@pytest.mark.parametrize("key", ["data.split.held_out_path", "data.leak.benchmarks"])
def test_other_files_are_blamed_on_their_own_key(tmp_path: Path, key: str) -> None:
    value = "[none.json]" if key.endswith("benchmarks") else "none.json"
    data = file_data(put(tmp_path, "a.json") / "a.json", f"{key}={value}")
    with pytest.raises(UserError, match=rf"{key}=none\.json does not exist"):
        [*find_sources(data), *benchmark_files(data)]


def test_name_that_is_not_utf8_is_shown_by_its_bytes(tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    shutil.copy(put(tmp_path, "a.json") / "a.json", folder / os.fsdecode(b"\xff.json"))
    assert names(folder) == [r"x/\xff.json"]
    assert fingerprint(file_data(folder))


def test_fingerprint_follows_names_and_content_not_the_place(tmp_path: Path) -> None:
    first, second = (put(tmp_path / name, "a.json") / "a.json" for name in ("x", "y"))
    assert fingerprint(file_data(first)) == fingerprint(file_data(second))
    write_rows(second, [{**ROWS[0], "output": "另一个回答"}])
    assert fingerprint(file_data(first)) != fingerprint(file_data(second))
    assert fingerprint(file_data(first)) != fingerprint(
        file_data(first.rename(tmp_path / "b.json"))
    )


def test_fingerprint_knows_benchmarks_and_which_side_a_file_is_on(tmp_path: Path) -> None:
    put(tmp_path, "a.json", "b.json")
    both = file_data([tmp_path / "a.json", tmp_path / "b.json"])
    apart = file_data(tmp_path / "a.json", f"data.split.held_out_path={tmp_path}/b.json")
    tested = file_data(tmp_path / "a.json", f"data.leak.benchmarks=[{tmp_path}/b.json]")
    alone = file_data(tmp_path / "a.json")
    assert len({fingerprint(data) for data in (both, apart, tested, alone)}) == 4


def test_file_that_cannot_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("loraflow.data.read.sources.hash_content", refuse)
    path = put(tmp_path, "a.json") / "a.json"
    with pytest.raises(UserError, match=rf"data\.path={path} cannot be read: Permission denied"):
        fingerprint(file_data(path))
