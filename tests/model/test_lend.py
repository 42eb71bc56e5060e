"""One base is loaded for all who train or answer with it, and each has it as it was, to the bit."""

import weakref
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
TAKEN_OUT_OF_THE_BASE = {
    name: LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=name, **CAUSAL)
    for name in ("pissa", "olora")
}
IDS = torch.tensor([[10, 11, 12, 13]])


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        found: torch.Tensor = model(input_ids=IDS, attention_mask=torch.ones_like(IDS)).logits
        return found[:, -4:].clone()


def save_adapter(base: BaseModel, config: PeftConfig, folder: Path) -> Path:
    """Write an adapter that changes what the base answers."""
    torch.manual_seed(1)
    adapted = get_peft_model(load_base(base), config)
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, mean=1.0, std=0.3)
    adapted.save_pretrained(folder / "adapter")
    return folder


def count_loadings(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return the models that lenders load from here on, as weak references."""
    loaded: list[Any] = []

    def counting(base: BaseModel) -> Any:
        assert not any(model() for model in loaded), "two bases are in memory"
        model = load_base(base)
        loaded.append(weakref.ref(model))
        return model

    monkeypatch.setattr(lend, "load_base", counting)
    return loaded


@pytest.fixture(params=["tiny_base", "tiny_nf4_base"])
def base(request: pytest.FixtureRequest) -> BaseModel:
    found: BaseModel = request.getfixturevalue(request.param)
    return found


@pytest.fixture(params=METHODS)
def adapter(request: pytest.FixtureRequest, base: BaseModel, tmp_path: Path) -> Path:
    return save_adapter(base, METHODS[request.param], tmp_path)


def test_what_is_lent_answers_as_what_was_trained(adapter: Path, base: BaseModel) -> None:
    with ModelLender().lend(base, adapter) as model:
        torch.testing.assert_close(
            logits(model), logits(load_for_answers(base, adapter)), rtol=1e-4, atol=1e-4
        )


def test_the_base_is_the_same_to_the_bit_for_all(adapter: Path, base: BaseModel) -> None:
    lender = ModelLender()
    expected = logits(load_for_answers(base, None))
    for _ in range(2):
        with lender.lend(base, adapter) as tuned:
            assert not torch.equal(logits(tuned), expected)
        with lender.lend(base, None) as model:
            assert torch.equal(logits(model), expected)
            assert not hasattr(model, "peft_config")


@pytest.mark.parametrize("first_values", TAKEN_OUT_OF_THE_BASE)
def test_what_an_adapter_takes_out_of_the_base_is_there_for_the_next(
    first_values: str, tiny_base: BaseModel, tmp_path: Path
) -> None:
    adapter = save_adapter(tiny_base, TAKEN_OUT_OF_THE_BASE[first_values], tmp_path)
    expected = logits(load_for_answers(tiny_base, adapter))
    untouched = logits(load_for_answers(tiny_base, None))
    lender = ModelLender()
    for _ in range(2):
        with lender.lend(tiny_base, adapter) as tuned:
            torch.testing.assert_close(logits(tuned), expected, rtol=1e-4, atol=1e-4)
        with lender.lend(tiny_base, None) as base:
            assert torch.equal(logits(base), untouched)


def test_a_folder_that_is_the_adapter_itself_will_do(adapter: Path, base: BaseModel) -> None:
    lender = ModelLender()
    with lender.lend(base, adapter) as model:
        expected = logits(model)
    with lender.lend(base, adapter / "adapter") as model:
        assert torch.equal(logits(model), expected)


def test_all_share_one_loading(
    adapter: Path, base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = count_loadings(monkeypatch)
    lender = ModelLender()
    for trained in (None, adapter, None, adapter):
        lender.share(base, unpacked=True)
        with lender.lend(base, trained):
            pass
    assert len(loaded) == 1
    lender.close()
    with lender.lend(base, None):
        pass
    assert len(loaded) == 2


def test_another_form_of_the_base_takes_the_place_of_the_first(
    tiny_nf4_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = count_loadings(monkeypatch)
    lender = ModelLender()
    for _ in range(2):
        assert lender.share(tiny_nf4_base, unpacked=False).is_quantized
        with lender.lend(tiny_nf4_base, None) as model:  # on a CPU, unpacked
            assert not model.is_quantized
        del model
    assert len(loaded) == 4


def test_who_is_given_the_base_has_it_alone(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = count_loadings(monkeypatch)
    lender = ModelLender()
    expected = logits(lender.share(base, unpacked=True))
    model = lender.give_away(base, unpacked=True)
    assert len(loaded) == 1
    model.model.norm.weight.data.zero_()
    del model
    assert torch.equal(logits(lender.share(base, unpacked=True)), expected)
    assert len(loaded) == 2


def test_a_base_that_somebody_wrote_to_is_loaded_anew(
    base: BaseModel, caplog: pytest.LogCaptureFixture
) -> None:
    lender = ModelLender()
    model = lender.share(base, unpacked=True)
    expected = logits(model)
    model.model.layers[1].mlp.down_proj.weight.data[3, 5] += 0.01
    assert not torch.equal(logits(model), expected)
    assert torch.equal(logits(lender.share(base, unpacked=True)), expected)
    assert "loaded anew" in caplog.text


def test_an_error_inside_leaves_the_base_whole(adapter: Path, base: BaseModel) -> None:
    lender = ModelLender()
    with lender.lend(base, None) as model:
        before = logits(model)
    with pytest.raises(KeyError), lender.lend(base, adapter):
        raise KeyError
    with lender.lend(base, None) as model:
        assert torch.equal(logits(model), before)


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
