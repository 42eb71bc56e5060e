"""What is asked for is checked at the door, before anything is loaded."""

from pathlib import Path

import pytest

from flows.export import read_export
from loraflow.config import ExportConfig
from loraflow.errors import UserError
from tests.test_command import HEAVY, run_python


@pytest.mark.parametrize("kind", ["adapter", "merged", "gguf"])
def test_every_kind_composes(kind: str, tmp_path: Path) -> None:
    (tmp_path / "convert_hf_to_gguf.py").touch()
    request = read_export([f"export={kind}", f"export.converter={tmp_path}"])
    assert isinstance(request.sections.export, ExportConfig)
    assert request.sections.export.kind == kind
    assert request.sections.export.registered == request.config.model.name


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["export.precision=bf16"], r"export.precision=bf16 does nothing with export=adapter"),
        (["export.into=full"], r"export.into=full does nothing with export=adapter"),
        (["export=merged", "export.precision=int4"], r"export.precision='int4' .*fp32, bf16"),
        (["export=merged", "export.precision=null"], r"export.precision=null says nothing"),
        (["export=gguf", "export.precision=nf4"], r"none that llama.cpp's converter writes"),
        (["export=onnx"], r"export=onnx is unknown.*adapter, gguf, merged"),
        (["export.adaptor=x"], r"did you mean export.adapter"),
        (["export.name=../x"], r"export.name=NAME"),
        (["export.check.prompts=nosuch.txt"], r"export.check.prompts=nosuch.txt is no file"),
        (["adapter.r=0"], r"adapter.r=0"),
    ],
)
def test_a_wrong_wish_is_named(words: list[str], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        read_export(words)


@pytest.mark.parametrize("words", [["--help"], ["export.precision=bf16"]])
def test_help_and_faults_load_nothing_heavy(words: list[str], tmp_path: Path) -> None:
    done = run_python(tmp_path, "-X", "importtime", "-m", "flows.export", *words)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == (0 if words == ["--help"] else 2)
    assert not HEAVY & imported
