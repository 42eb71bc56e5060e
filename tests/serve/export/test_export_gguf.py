"""llama.cpp's converter: found or not, what it is given, and what it says when it fails."""

from pathlib import Path

import pytest

from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.serve.export.gguf import SCRIPT, convert, find_converter
from loraflow.serve.export.write import Place, write_files
from tests.serve.export.subjects import trained_subject, wish

RECORDER = """\
import json, sys
from pathlib import Path

model, _, out, _, kind, option, name = sys.argv[1:]
names = sorted(path.name for path in Path(model).iterdir())
dtype = json.loads((Path(model) / "config.json").read_text())["dtype"]
Path(out).write_text(json.dumps([names, dtype, kind, option, name]))
"""


@pytest.fixture
def converter(tmp_path: Path) -> Path:
    """Takes the arguments of llama.cpp's, and writes down what it got."""
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    (folder / SCRIPT).write_text(RECORDER)
    return folder / SCRIPT


def test_the_converter_is_given_or_on_the_path(
    converter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_converter(converter) == find_converter(converter.parent) == converter
    converter.chmod(0o755)
    monkeypatch.setenv("PATH", str(converter.parent))
    assert find_converter(None) == converter


def test_a_converter_that_is_not_there_is_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"clone llama.cpp and set export.converter"):
        wish(tmp_path, "export=gguf")
    with pytest.raises(UserError, match=f"export.converter={tmp_path} holds no {SCRIPT}"):
        wish(tmp_path, "export=gguf", f"export.converter={tmp_path}")


@pytest.mark.slow  # a training of the tiny model and its export
@pytest.mark.parametrize(("precision", "outtype"), [("bf16", "bf16"), ("int8", "q8_0")])
def test_the_converter_gets_a_merged_model_in_float32_with_its_tokenizer(
    precision: str, outtype: str, converter: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=lora", method="nf4")
    words = ["export=gguf", f"export.converter={converter}", f"export.precision={precision}"]
    out, scratch = tmp_path / "out", tmp_path / "scratch"
    out.mkdir()
    scratch.mkdir()
    write_files(subject, wish(tmp_path, *words), Place(out, scratch, "甄嬛-v3-gguf-bf16"))
    names, dtype, kind, *named = read_json(out / "model.gguf")
    assert {"model.safetensors", "tokenizer.json", "chat_template.jinja"} <= set(names)
    assert (dtype, kind) == ("float32", outtype)
    assert named == ["--model-name", "甄嬛-v3-gguf-bf16"]


def test_what_a_failing_converter_says_is_shown(converter: Path, tmp_path: Path) -> None:
    converter.write_text("raise NotImplementedError('Architecture X not supported!')")
    with pytest.raises(UserError, match=r"said last: .*Architecture X not supported!"):
        convert(converter, tmp_path, precision="bf16", name="mine", out=tmp_path / "model.gguf")


def test_a_converter_that_writes_nothing_has_failed(converter: Path, tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", {})
    converter.write_text("print('done')")
    with pytest.raises(UserError, match="said last: done"):
        convert(converter, tmp_path, precision="bf16", name="mine", out=tmp_path / "model.gguf")
