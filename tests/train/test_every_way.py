"""Each method trains in each task that the table allows, and with each quantization."""

from pathlib import Path

import pytest
from safetensors.torch import load_file

from loraflow.config import QuantizationConfig
from loraflow.errors import UserError
from loraflow.model.source import BaseModel, find_base
from tests.conftest import composed
from tests.train.trainings import settings, train_rows, write_rows

METHODS = {
    "lora": [],
    "rslora": ["adapter=rslora"],
    "dora": ["adapter=dora"],
    "pissa": ["adapter=pissa"],
    "olora": ["adapter.init_lora_weights=olora"],
    "gaussian": ["adapter.init_lora_weights=gaussian"],
    "eva": ["adapter.init_lora_weights=eva"],
    "loftq": ["adapter.init_lora_weights=loftq"],
    "adalora": ["adapter=adalora", "adapter.r=2"],
    "ia3": ["adapter=ia3", "adapter.dropout=0"],
    "prefix": ["adapter=prefix", "adapter.dropout=0"],
    "prompt": ["adapter=prompt", "adapter.dropout=0"],
    "p_tuning": ["adapter=p_tuning", "adapter.dropout=0"],
    "full": ["adapter=full", "adapter.dropout=0"],
    "head_only": ["adapter=head_only", "adapter.dropout=0"],
}
TASKS = ("sft", "text", "preference", "classify")
COMMON = ("train.max_steps=4", "train.gradient_accumulation_steps=1")


def allowed(*overrides: str) -> bool:
    try:
        settings(*overrides)
    except UserError:
        return False
    return True


IN_TASKS = [
    (method, task)
    for method, overrides in METHODS.items()
    for task in TASKS
    if allowed(*overrides, f"train={task}", "quantization=none")
]
ON_BASES = [
    pytest.param(method, quantization, marks=[pytest.mark.slow] if quantization != "nf4" else [])
    for method, overrides in METHODS.items()
    for quantization in ("int8", "nf4", "fp4")
    if allowed(*overrides, f"quantization={quantization}")
]


def test_what_the_issue_names_is_allowed() -> None:
    assert len(IN_TASKS) >= 40
    assert {case.values[0] for case in ON_BASES if case.values[1] == "nf4"} >= {
        "lora",
        "dora",
        "adalora",
        "ia3",
        "prefix",
        "prompt",
        "p_tuning",
    }


@pytest.mark.parametrize(("method", "task"), IN_TASKS)
def test_a_method_trains_in_a_task(
    method: str, task: str, tiny_base: BaseModel, tmp_path: Path
) -> None:
    check(tiny_base, tmp_path, *METHODS[method], f"train={task}", "quantization=none", *COMMON)


@pytest.mark.parametrize(("method", "quantization"), ON_BASES)
def test_a_method_trains_beside_a_quantized_base(
    method: str, quantization: str, tiny_folder: Path, tmp_path: Path
) -> None:
    held = QuantizationConfig(quantization, quantization in ("nf4", "fp4"), "float32")  # type: ignore[arg-type]
    base = BaseModel("tiny", tiny_folder, "0", False, held)
    check(base, tmp_path, f"quantization={quantization}", *METHODS[method], *COMMON)


def check(base: BaseModel, folder: Path, *overrides: str) -> None:
    """Train some steps and look at what comes out."""
    tokens = write_rows(folder / "tokens")
    result = train_rows(base, tokens, folder / "out", *overrides)
    assert result["counts"]["steps"] == 4
    assert result["counts"]["trainable_parameters"] > 0
    (written,) = (folder / "out").glob("*/*.safetensors")
    assert load_file(written)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "task"), IN_TASKS)
def test_a_method_trains_the_real_model_in_a_task(method: str, task: str, tmp_path: Path) -> None:
    config = composed("quantization=none")
    base = find_base(config.model, config.quantization)
    check(base, tmp_path, *METHODS[method], f"train={task}", "quantization=none", *COMMON)
