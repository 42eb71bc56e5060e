"""The base model is found, named by its content, and refused when it is not what it should be."""

import shutil
from pathlib import Path

import pytest

from loraflow.config import ModelConfig, QuantizationConfig
from loraflow.errors import UserError
from loraflow.model.source import BaseModel, find_base
from loraflow.model.tokenizer import load_tokenizer, stop_tokens
from tests.conftest import composed

PLAIN = QuantizationConfig("none", False, "float32")


def folder_model(folder: Path) -> ModelConfig:
    return composed("model=folder", f"model.location={folder}").model


def test_revision_changes_with_the_content(tiny_folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(tiny_folder, copy)
    first = find_base(folder_model(copy), PLAIN).revision
    assert first == find_base(folder_model(tiny_folder), PLAIN).revision
    (copy / "chat_template.jinja").write_text("other")
    assert first != find_base(folder_model(copy), PLAIN).revision


def test_missing_folder_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"model\.location=.*config\.json"):
        find_base(folder_model(tmp_path), PLAIN)


def test_weights_that_could_hide_code_are_refused(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copy(tiny_folder / "config.json", tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match=r"no \.safetensors"):
        find_base(folder_model(tmp_path), PLAIN)


def test_unreachable_hub_is_a_short_error() -> None:
    model = composed("model=hub", "model.location=nobody/no-such-model").model
    with pytest.raises(UserError, match=r"model\.location=nobody/no-such-model"):
        find_base(model, PLAIN)


def test_missing_gguf_names_the_key(tmp_path: Path) -> None:
    model = composed("model=gguf", f"model.location={tmp_path / 'no.gguf'}").model
    with pytest.raises(UserError, match=r"model\.location=.*\.gguf"):
        find_base(model, PLAIN)


def test_damaged_gguf_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.gguf").write_bytes(b"GGUF")
    overrides = [f"model.location={tmp_path / 'bad.gguf'}", f"model.sha256={'0' * 64}"]
    with pytest.raises(UserError, match=r"model\.sha256=0000"):
        find_base(composed("model=gguf", *overrides).model, PLAIN)


def test_tokenizer_pads_and_stops(tiny_base: BaseModel) -> None:
    tokenizer = load_tokenizer(tiny_base)
    assert tokenizer.pad_token_id is not None
    assert stop_tokens(tiny_base, tokenizer) == [tokenizer.eos_token_id]
