"""What cannot work is known before anything starts, with key, value and fix."""

import shutil
from pathlib import Path

import pytest
import torch

from loraflow.errors import UserError
from loraflow.preflight import check_machine
from tests.conftest import composed

Usage = shutil._ntuple_diskusage


def test_a_config_that_can_run_passes(tiny_overrides: list[str]) -> None:
    check_machine(composed(*tiny_overrides))


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("data.path=nowhere.json", r"^data\.path=nowhere\.json does not exist"),
        ("adapter.target_modules=[nope]", r"^adapter\.target_modules=.*choose from down_proj"),
        ("train.max_length=1021", r"^train\.max_length=1021 .*exceed the 1024 tokens"),
        ("model.location=nowhere", r"^model\.location=nowhere holds no config\.json"),
    ],
)
def test_wrong_values_are_named(override: str, match: str, tiny_overrides: list[str]) -> None:
    data = ["data=alpaca"] if override.startswith("data.path") else []
    with pytest.raises(UserError, match=match):
        check_machine(composed(*tiny_overrides, *data, override))


def test_a_task_without_answers_can_read_to_the_models_end(tiny_overrides: list[str]) -> None:
    text = ["train.task=text", "train.truncation=windows"]
    check_machine(composed(*tiny_overrides, *text, "train.max_length=1024"))
    with pytest.raises(UserError, match=r"^train\.max_length=1025 exceed the 1024 .*train\.max_l"):
        check_machine(composed(*tiny_overrides, *text, "train.max_length=1025"))


def test_a_folder_that_cannot_be_made_is_named(tiny_overrides: list[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"^store=.*cannot be written.*set store=FOLDER"):
        check_machine(composed(*tiny_overrides, f"store={tmp_path / 'file' / 'store'}"))


def test_a_disk_without_room_for_the_adapter_is_named(
    tiny_overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(2**30, 2**30, 2**20))
    with pytest.raises(UserError, match=r"^store=.* has 1 MiB free, and this run needs about"):
        check_machine(composed(*tiny_overrides))


@pytest.mark.skipif(torch.cuda.is_available(), reason="float16 runs where there is CUDA")
def test_float16_wants_cuda(tiny_overrides: list[str]) -> None:
    with pytest.raises(UserError, match=r"^quantization\.compute_dtype='float16' needs a CUDA GPU"):
        check_machine(composed(*tiny_overrides, "quantization.compute_dtype=float16"))


def test_several_processes_are_refused(
    tiny_overrides: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UserError, match="WORLD_SIZE=2"):
        check_machine(composed(*tiny_overrides))
