"""One base is loaded for all arms, and comes back as it was, to the bit."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftConfig, PromptTuningConfig, get_peft_model

from loraflow.model import lend
from loraflow.model.lend import ModelLender
from loraflow.model.load import load_base, load_for_answers
from loraflow.model.source import BaseModel

CAUSAL = {"task_type": "CAUSAL_LM"}
METHODS: dict[str, PeftConfig] = {
    "lora": LoraConfig(r=2, target_modules=["q_proj", "down_proj"], **CAUSAL),
    "dora": LoraConfig(r=2, target_modules=["v_proj"], use_dora=True, **CAUSAL),
    "ia3": IA3Config(
        target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"], **CAUSAL
    ),
    "prompt": PromptTuningConfig(num_virtual_tokens=3, **CAUSAL),
}
IDS = torch.tensor([[10, 11, 12, 13]])


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
        return found[:, -4:].clone()


@pytest.fixture(params=METHODS)
def adapter(request: pytest.FixtureRequest, tiny_base: BaseModel, tmp_path: Path) -> Path:
    torch.manual_seed(1)
    adapted = get_peft_model(load_base(tiny_base), METHODS[request.param])
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path


def test_what_is_lent_answers_as_what_was_trained(adapter: Path, tiny_base: BaseModel) -> None:
    with ModelLender().lend(tiny_base, adapter) as model:
        torch.testing.assert_close(
            logits(model), logits(load_for_answers(tiny_base, adapter)), rtol=1e-4, atol=1e-4
        )


def test_the_base_comes_back_to_the_bit(adapter: Path, tiny_base: BaseModel) -> None:
    lender = ModelLender()
    with lender.lend(tiny_base, None) as base:
        before = logits(base)
        names = [name for name, _ in base.named_parameters()]
    for _ in range(2):
        with lender.lend(tiny_base, adapter) as tuned:
            assert not torch.equal(logits(tuned), before)
        with lender.lend(tiny_base, None) as base:
            assert torch.equal(logits(base), before)
            assert [name for name, _ in base.named_parameters()] == names
            assert not hasattr(base, "peft_config")


def test_a_folder_that_is_the_adapter_itself_will_do(adapter: Path, tiny_base: BaseModel) -> None:
    lender = ModelLender()
    with lender.lend(tiny_base, adapter) as model:
        expected = logits(model)
    with lender.lend(tiny_base, adapter / "adapter") as model:
        assert torch.equal(logits(model), expected)


def test_all_arms_share_one_loading(
    adapter: Path, tiny_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path | None] = []

    def counting(base: BaseModel, trained: Path | None, **options: Any) -> Any:
        loaded.append(trained)
        return load_for_answers(base, trained, **options)

    monkeypatch.setattr(lend, "load_for_answers", counting)
    lender = ModelLender()
    for trained in (None, adapter, None, adapter):
        with lender.lend(tiny_base, trained):
            pass
    assert loaded == [None]
    lender.close()
    with lender.lend(tiny_base, None):
        pass
    assert loaded == [None, None]


def test_an_error_inside_gives_the_base_back(adapter: Path, tiny_base: BaseModel) -> None:
    lender = ModelLender()
    with lender.lend(tiny_base, None) as base:
        before = logits(base)
    with pytest.raises(KeyError), lender.lend(tiny_base, adapter):
        raise KeyError
    with lender.lend(tiny_base, None) as base:
        assert torch.equal(logits(base), before)


@pytest.mark.parametrize("packed", [True, False])
def test_an_adapter_beside_a_four_bit_base_counts_whole(
    packed: bool, tiny_nf4_base: BaseModel, tmp_path: Path
) -> None:
    """Merged into 4-bit weights a small update would be rounded away."""
    torch.manual_seed(1)
    adapted = get_peft_model(load_base(tiny_nf4_base), METHODS["lora"])
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.02)
    adapted.save_pretrained(tmp_path / "adapter")
    expected = logits(adapted.eval())
    lender = ModelLender(packed=packed)
    with lender.lend(tiny_nf4_base, tmp_path) as model:
        torch.testing.assert_close(logits(model), expected, rtol=1e-4, atol=1e-4)
    with lender.lend(tiny_nf4_base, None) as model:
        assert not torch.allclose(logits(model), expected, rtol=1e-4, atol=1e-5)
