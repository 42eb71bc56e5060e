"""What is exported answers as the adapter does, also without loraflow."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from loraflow.config import QuantizationConfig
from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.load import load_base, unpack
from loraflow.model.merge import load_adapted
from loraflow.model.quantize import load_options
from loraflow.serve.export import round_trip
from loraflow.serve.export.answers import Gap
from loraflow.serve.export.subject import Subject, require_exportable
from tests.model.ways import logits
from tests.serve.export.subjects import exported, trained_subject, wish

pytestmark = pytest.mark.slow

NF4 = QuantizationConfig("nf4", True, "float32")
QUESTIONS = ["你是谁？", "Write the summary line of the docstring."]
MERGED = ["adapter=lora", "adapter=dora", "adapter=ia3", "adapter=adalora", "adapter=pissa"]
MERGED += ["adapter.init_lora_weights=olora", "adapter=rslora", "adapter=eva"]
BEFORE_THE_TEXT = ["adapter=prefix", "adapter=prompt", "adapter=p_tuning"]


def answers(model: Any, tokenizer: Any) -> list[list[int]]:
    """Greedy answers by transformers alone."""
    written = []
    for question in QUESTIONS:
        inputs = tokenizer.apply_chat_template(
            [{"role": "user", "content": question}],
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            output = model.generate(**inputs, max_new_tokens=12, do_sample=False)
        written.append(output[0].tolist())
    return written


def plain(folder: Path) -> list[list[int]]:
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    return answers(model, AutoTokenizer.from_pretrained(folder))


def logits_of(folder: Path) -> torch.Tensor:
    found: torch.Tensor = logits(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))
    return found


def of_adapter(subject: Subject) -> list[list[int]]:
    model = load_adapted(subject.base, subject.trained)
    model.generation_config.eos_token_id = subject.stop
    return answers(model, subject.tokenizer())


def last(gaps: Any) -> Gap:
    gap: Gap = gaps[-1]
    assert gap.what.startswith("as exported")
    return gap


@pytest.mark.parametrize("way", [*MERGED, "adapter=full"])
def test_merged_in_float32_every_token_is_the_same(
    way: str, tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", way)
    folder, trip = exported(subject, wish(tmp_path, "export=merged", "export.precision=fp32"))
    gap = last(trip.gaps)
    assert (gap.same_tokens, gap.same_answers) == (1.0, 4)
    assert gap.largest < 1e-4
    assert plain(folder) == of_adapter(subject)
    assert not torch.allclose(logits_of(folder), logits_of(tiny_folder), atol=1e-3)


@pytest.mark.parametrize("method", ["nf4", "fp4", "int8"])
def test_an_adapter_beside_few_bits_is_merged_into_what_it_was_trained_on(
    method: str, tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=lora", method=method)
    folder, trip = exported(subject, wish(tmp_path, "export=merged", "export.precision=fp32"))
    untuned, trained, full, gap = trip.gaps
    assert method in trained.what and "full precision" in full.what
    assert trained.largest < 1e-4 < full.largest < untuned.largest
    assert gap.same_tokens == 1.0
    assert gap.largest == pytest.approx(trained.largest, abs=1e-4)
    assert plain(folder) == of_adapter(subject)
    assert "quantization_config" not in read_json(folder / "config.json")


def test_loftq_is_merged_into_the_4_bits_that_it_repairs(tiny_folder: Path, tmp_path: Path) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=loftq", method="nf4")
    folder, trip = exported(subject, wish(tmp_path, "export=merged", "export.precision=fp32"))
    assert last(trip.gaps).largest < 1e-4
    assert plain(folder) == of_adapter(subject)


def test_loftq_alone_is_loaded_by_plain_peft_beside_the_4_bits_that_it_repairs(
    tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=loftq", method="nf4")
    folder, trip = exported(subject, wish(tmp_path))
    assert last(trip.gaps).largest < 1e-4
    assert read_json(folder / "adapter_config.json")["init_lora_weights"] is True
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, **load_options(NF4))
    found = answers(PeftModel.from_pretrained(base, folder), AutoTokenizer.from_pretrained(folder))
    assert found == of_adapter(subject)


def test_merged_into_the_full_base_it_is_off_by_what_is_measured(
    tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=lora", method="nf4")
    words = ["export=merged", "export.into=full", "export.precision=fp32"]
    _, trip = exported(subject, wish(tmp_path, *words))
    _, _, full, gap = trip.gaps
    assert gap.largest == pytest.approx(full.largest, rel=1e-3)
    assert gap.largest > 1e-3


@pytest.mark.parametrize("method", ["none", "nf4"])
def test_the_full_base_has_every_digit_of_its_files(
    method: str, tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(
        tiny_folder, tmp_path / "run", "adapter=lora", method=method, dtype="bfloat16"
    )
    words = ["export=merged", "export.into=full", "export.precision=fp32"]
    folder, trip = exported(subject, wish(tmp_path, *words))
    found, original = (load_file(path / "model.safetensors") for path in (folder, tiny_folder))
    changed = {name for name in original if not torch.equal(found[name], original[name])}
    assert len(changed) == 8
    assert all("self_attn" in name for name in changed)
    assert last(trip.gaps).what == "as exported: merged, fp32, full base"


@pytest.mark.parametrize("precision", ["bf16", "int8", "nf4"])
def test_fewer_bits_are_loaded_by_plain_transformers_and_measured(
    precision: str, tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=lora", method="nf4")
    words = ["export=merged", f"export.precision={precision}"]
    folder, trip = exported(subject, wish(tmp_path, *words))
    assert 0 < last(trip.gaps).largest < 2
    assert len(plain(folder)) == len(QUESTIONS)
    is_quantized = "quantization_config" in read_json(folder / "config.json")
    assert is_quantized == (precision != "bf16")
    assert sum(file.stat().st_size for file in folder.glob("*.safetensors")) < (
        sum(file.stat().st_size for file in tiny_folder.glob("*.safetensors"))
    )


@pytest.mark.parametrize("way", [*MERGED, *BEFORE_THE_TEXT])
def test_an_adapter_alone_is_loaded_by_plain_peft(
    way: str, tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", way)
    folder, trip = exported(subject, wish(tmp_path))
    assert last(trip.gaps).same_tokens == 1.0
    base = AutoModelForCausalLM.from_pretrained(tiny_folder, dtype=torch.float32)
    found = answers(PeftModel.from_pretrained(base, folder), AutoTokenizer.from_pretrained(folder))
    assert found == of_adapter(subject)


@pytest.mark.parametrize("way", ["adapter=pissa", "adapter.init_lora_weights=olora"])
def test_first_values_out_of_the_base_become_a_plain_lora(
    way: str, tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", way)
    folder, trip = exported(subject, wish(tmp_path))
    settings = read_json(folder / "adapter_config.json")
    assert settings["init_lora_weights"] is True
    assert settings["r"] == 2 * subject.config.adapter.r
    assert last(trip.gaps).largest < 1e-4


@pytest.mark.parametrize("way", ["adapter=lora", "adapter=pissa"])
def test_a_base_in_bfloat16_is_exported_too(way: str, tiny_folder: Path, tmp_path: Path) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", way, dtype="bfloat16")
    _, alone = exported(subject, wish(tmp_path / "adapter"))
    _, merged = exported(
        subject, wish(tmp_path / "merged", "export=merged", "export.precision=fp32")
    )
    assert last(merged.gaps).largest < 1e-4
    assert last(alone.gaps).largest < (0.1 if way == "adapter=pissa" else 1e-4)


def test_an_update_that_is_rounded_away_is_warned_of(
    tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subject = trained_subject(
        tiny_folder, tmp_path / "run", "adapter=lora", method="nf4", rate=1e-4
    )
    words = ["export=merged", "export.precision=nf4"]
    folder, trip = exported(subject, wish(tmp_path, *words))
    gap = last(trip.gaps)
    assert gap.from_untuned is not None
    assert gap.from_untuned < gap.mean
    assert "nearer to the base alone than to the adapter" in caplog.text
    assert "**It has lost what was trained**" in (folder / "README.md").read_text()


@pytest.mark.parametrize("word", ["export.precision=bf16", "export.into=full"])
def test_another_base_or_type_is_not_taken_for_a_lost_training(
    word: str, tiny_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=lora", method="nf4")
    folder, _ = exported(subject, wish(tmp_path, "export=merged", word))
    assert "nearer to the base alone" not in caplog.text
    assert "lost what was trained" not in (folder / "README.md").read_text()


def test_beside_another_precision_an_adapter_is_off_by_what_is_measured(
    tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=lora", method="nf4")
    _, trip = exported(subject, wish(tmp_path))
    _, full, gap = trip.gaps
    assert "beside the base in full precision" in full.what
    assert gap.largest < 1e-4 < full.largest
    base = unpack(load_base(subject.base))
    assert base.dtype == torch.float32


@pytest.mark.parametrize("way", BEFORE_THE_TEXT)
@pytest.mark.parametrize("kind", ["merged", "gguf"])
def test_vectors_before_the_text_are_not_merged(
    kind: str, way: str, tiny_folder: Path, tmp_path: Path
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", way)
    with pytest.raises(UserError, match=r"puts vectors before the text.*export=adapter"):
        require_exportable(subject.adapter, subject.config, kind)


def test_nothing_is_measured_where_nobody_wants_it(tiny_folder: Path, tmp_path: Path) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=lora")
    folder, trip = exported(subject, wish(tmp_path, "export.check=null"))
    assert trip.gaps == []
    assert "Not measured (`export.check=null`)" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("words", "loads", "fix"),
    [
        (["export=adapter"], "_beside", "try export=merged"),
        (["export=merged", "export.precision=fp32"], "_load_plainly", "set export=adapter"),
    ],
)
def test_an_export_that_is_not_what_was_trained_is_refused(
    words: list[str],
    loads: str,
    fix: str,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    subject = trained_subject(tiny_folder, tmp_path / "run", "adapter=lora")
    monkeypatch.setattr(round_trip, loads, lambda *_: load_base(subject.base))
    message = rf"{words[0]} of export.adapter=run:x is off by up to .*architecture \(tiny\).*{fix}"
    with pytest.raises(UserError, match=message):
        exported(subject, wish(tmp_path, *words))
    assert not (tmp_path / "it").exists()
