"""An export is there whole or not at all, and nothing else is touched for it."""

import errno
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.promote.registry.version import digests_of
from loraflow.serve.export import run
from loraflow.serve.export.run import export_files
from loraflow.serve.export.subject import Subject
from loraflow.serve.export.write import Place, write_files
from tests.conftest import composed
from tests.serve.export.subjects import UNKNOWN, exported, trained_subject, wish


@pytest.fixture(scope="module")
def subject(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return trained_subject(tiny_folder, tmp_path_factory.mktemp("run"), "adapter=lora")


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_the_same_export_again_is_not_made_again(subject: Subject, tmp_path: Path) -> None:
    folder, trip = exported(subject, wish(tmp_path))
    before = digests_of(folder)
    again, was_there = export_files(subject, wish(tmp_path), UNKNOWN, target=folder)
    assert was_there
    assert again == trip
    assert digests_of(folder) == before
    assert left(tmp_path) == {"it"}


@pytest.mark.parametrize("there", ["another export", "something else"])
def test_what_is_there_already_is_left_alone(there: str, subject: Subject, tmp_path: Path) -> None:
    if there == "another export":
        exported(subject, wish(tmp_path))
    else:
        (tmp_path / "it").mkdir()
        (tmp_path / "it" / "mine.txt").write_text("mine")
    before = digests_of(tmp_path / "it")
    with pytest.raises(UserError, match=f"holds {there} already.*export.name=NEW"):
        export_files(subject, wish(tmp_path, "export=merged"), UNKNOWN, target=tmp_path / "it")
    assert digests_of(tmp_path / "it") == before


def test_edited_prompts_are_another_export(subject: Subject, tmp_path: Path) -> None:
    prompts = tmp_path / "mine.txt"
    prompts.write_text("你是谁？\n", encoding="utf-8")
    asked = wish(tmp_path, f"export.check.prompts={prompts}")
    folder, _ = exported(subject, asked)
    prompts.write_text("为何？\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"holds another export already.*export.name=NEW"):
        export_files(subject, asked, UNKNOWN, target=folder)


def test_another_type_to_compute_in_is_another_export(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = exported(subject, wish(tmp_path, "export.check=null"))
    monkeypatch.setattr(run, "compute_dtype", lambda _: torch.bfloat16)
    with pytest.raises(UserError, match="holds another export already"):
        export_files(subject, wish(tmp_path, "export.check=null"), UNKNOWN, target=folder)


def test_what_was_trained_and_the_base_stay_as_they_are(
    subject: Subject, tiny_folder: Path, tmp_path: Path
) -> None:
    before = digests_of(subject.trained), digests_of(tiny_folder)
    exported(subject, wish(tmp_path, "export=merged"))
    assert (digests_of(subject.trained), digests_of(tiny_folder)) == before


def fail(error: BaseException) -> Callable[..., Any]:
    def failing(_: Any, __: Any, place: Place) -> None:
        (place.out / "half.safetensors").write_bytes(b"half")
        raise error

    return failing


@pytest.mark.parametrize(
    ("error", "seen", "message"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), UserError, "export.folder=.*is full"),
        (torch.OutOfMemoryError("CUDA out of memory"), UserError, "CUDA_VISIBLE_DEVICES= before"),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
        (RuntimeError("a bug"), RuntimeError, "a bug"),
    ],
)
def test_a_failure_leaves_nothing_behind(
    error: BaseException,
    seen: type[BaseException],
    message: str,
    subject: Subject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run, "write_files", fail(error))
    with pytest.raises(seen, match=message):
        export_files(subject, wish(tmp_path), UNKNOWN, target=tmp_path / "it")
    assert left(tmp_path) == set()


def test_too_small_a_disk_is_named_before_anything_is_written(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: type("Usage", (), {"free": 1}))
    with pytest.raises(UserError, match=r"export\.folder=.* GiB free.*needs about"):
        export_files(subject, wish(tmp_path), UNKNOWN, target=tmp_path / "it")
    assert left(tmp_path) == set()


def test_only_safetensors_json_and_text_are_written(subject: Subject, tmp_path: Path) -> None:
    for kind in ("adapter", "merged"):
        folder, _ = exported(subject, wish(tmp_path / kind, f"export={kind}"))
        suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
        assert suffixes <= {".safetensors", ".json", ".jinja", ".md", ".txt"}


@pytest.mark.parametrize("word", ["adapter", "merged", "merged export.precision=nf4"])
def test_no_path_of_this_machine_is_in_an_export(
    word: str, subject: Subject, tiny_folder: Path, tmp_path: Path
) -> None:
    named = replace(subject, adapter=replace(subject.adapter, source=str(subject.trained)))
    folder, _ = exported(named, wish(tmp_path, *f"export={word}".split()))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert f"Made by loraflow from `{subject.trained.name}`" in card
    for path in folder.iterdir():
        assert str(tiny_folder.parent).encode() not in path.read_bytes(), path.name


def test_an_adapter_names_its_base_only_where_others_find_it(
    subject: Subject, tmp_path: Path
) -> None:
    ours = written(subject, tmp_path / "ours")
    assert ours["base_model_name_or_path"] is None
    hub = replace(subject, config=composed("model=hub", "model.location=a/b"))
    theirs = written(hub, tmp_path / "theirs")
    assert theirs["base_model_name_or_path"] == "a/b"
    assert theirs["revision"] == subject.base.revision


def written(subject: Subject, folder: Path) -> Any:
    folder.mkdir()
    write_files(subject, wish(folder), Place(folder, folder, "mine"))
    return read_json(folder / "adapter_config.json")
