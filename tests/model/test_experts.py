"""LoRA on experts: the router and the experts that were not chosen stay as they were."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import ParamWrapper
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    DeepseekV3Config,
    MixtralConfig,
    PretrainedConfig,
    Qwen2MoeConfig,
    Qwen3MoeConfig,
    conversion_mapping,
)

from loraflow.errors import UserError
from loraflow.model import architectures
from loraflow.model.size import count_saved
from tests.model.ways import adapter, attach, held, load, logits, loss_of, reload, train, trained

SMALL = {
    "vocab_size": 100,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "pad_token_id": 0,
    "num_experts_per_tok": 2,
}
MODELS = {
    "mixtral": MixtralConfig(**SMALL, num_local_experts=4),
    "qwen2_moe": Qwen2MoeConfig(
        **SMALL, num_experts=4, moe_intermediate_size=16, shared_expert_intermediate_size=24
    ),
    "qwen3_moe": Qwen3MoeConfig(**SMALL, num_experts=4, moe_intermediate_size=16, head_dim=8),
    "deepseek_v3": DeepseekV3Config(
        **SMALL | {"num_key_value_heads": 4},
        **{"n_routed_experts": 4, "n_group": 2, "topk_group": 1, "moe_intermediate_size": 16},
        **{"first_k_dense_replace": 1, "q_lora_rank": 8, "kv_lora_rank": 8},
        **{"qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 8},
    ),
}
OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": lambda values: torch.optim.AdamW(values, lr=0.01, weight_decay=0.1),
    "sgd": lambda values: torch.optim.SGD(values, lr=0.1, momentum=0.9, weight_decay=0.1),
}


def saved(config: PretrainedConfig, folder: Path) -> Path:
    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: saved(config, tmp_path_factory.mktemp(name)) for name, config in MODELS.items()}


def expert_weights(model: Any) -> dict[str, Tensor]:
    """Return what each layer multiplies with: base and update together, expert by expert."""
    return {
        f"{name}.{module.parameter_name}": (
            module.get_param() + module.get_delta_weight("default")
        ).detach()
        for name, module in model.named_modules()
        if isinstance(module, ParamWrapper)
    }


def routers(model: Any) -> dict[str, Tensor]:
    return {
        name.removeprefix("base_model.model."): value.detach()
        for name, value in model.named_parameters()
        if name.endswith(("mlp.gate.weight", "shared_expert_gate.weight"))
    }


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("method", ["none", "nf4"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_only_the_chosen_experts_change(
    optimizer: str, method: str, name: str, folders: dict[str, Path]
) -> None:
    base = held(folders[name], method)
    model = attach(base, adapter("adapter=moe", "adapter.experts=[0,3]"))
    before = expert_weights(model)
    steps = OPTIMIZERS[optimizer](trained(model).values())
    for _ in range(3):
        loss_of(model).backward()  # type: ignore[no-untyped-call]
        steps.step()
        steps.zero_grad()
    after = expert_weights(model)
    assert len(after) == 2 * (1 if name == "deepseek_v3" else 2)  # two weights a sparse layer
    for weight in after:
        changed = (before[weight] != after[weight]).flatten(1).any(1)
        assert changed.tolist() == [True, False, False, True]
    untouched = routers(load(base))
    assert untouched.keys() == routers(model).keys()
    assert all(torch.equal(value, untouched[key]) for key, value in routers(model).items())


@pytest.mark.parametrize("name", MODELS)
def test_all_experts_learn_and_reload_to_the_same_logits(
    name: str, folders: dict[str, Path], tmp_path: Path
) -> None:
    base = held(folders[name], "none")
    model = attach(base, adapter("adapter=moe"))
    losses = train(model)
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path)
    assert torch.equal(logits(reload(base, tmp_path)), logits(model))
    assert count_saved(adapter("adapter=moe"), folders[name]) == sum(
        value.numel() for value in trained(model).values()
    )


def test_layers_choose_experts_too(folders: dict[str, Path]) -> None:
    chosen = adapter("adapter=moe", "adapter.layers_to_transform=[1]")
    model = attach(held(folders["mixtral"], "none"), chosen)
    assert all(".layers.1." in name for name in trained(model))
    assert len(expert_weights(model)) == 2


def test_chosen_experts_go_on_from_an_earlier_adapter(
    folders: dict[str, Path], tmp_path: Path
) -> None:
    base, chosen = held(folders["mixtral"], "none"), adapter("adapter=moe", "adapter.experts=[1]")
    first = attach(base, chosen)
    train(first)
    first.save_pretrained(tmp_path)
    second = attach(base, chosen, start=tmp_path)
    before = expert_weights(second)
    train(second)
    for weight, value in expert_weights(second).items():
        assert (before[weight] != value).flatten(1).any(1).tolist() == [False, True, False, False]


def test_an_expert_that_is_not_there_is_refused(folders: dict[str, Path]) -> None:
    chosen = adapter("adapter=moe", "adapter.experts=[4]")
    with pytest.raises(UserError, match=r"adapter\.experts=\[4\].*experts are 0 to 3"):
        attach(held(folders["mixtral"], "none"), chosen)
    with pytest.raises(UserError, match=r"adapter\.experts=\[4\]"):
        count_saved(chosen, folders["mixtral"])


@pytest.mark.parametrize("sets", ["mlp", "all_linear", "[attention,mlp]"])
def test_a_shared_expert_that_peft_mistakes_is_refused(sets: str, folders: dict[str, Path]) -> None:
    chosen = adapter(f"adapter.target_modules={sets}")
    with pytest.raises(UserError, match=r"takes for the experts.*adapter\.experts=all"):
        attach(held(folders["deepseek_v3"], "none"), chosen)
    with pytest.raises(UserError, match="takes for the experts"):
        count_saved(chosen, folders["deepseek_v3"])
    attach(held(folders["qwen2_moe"], "none"), chosen)  # which PEFT leaves alone


def test_peft_mistakes_the_architectures_that_are_refused(folders: dict[str, Path]) -> None:
    """When this fails, PEFT or transformers has changed, and the list of them with it."""
    shared = "model.layers.1.mlp.shared_experts.down_proj"
    model = get_peft_model(
        load(held(folders["deepseek_v3"], "none")), LoraConfig(target_modules=[shared])
    )
    assert not any("shared_experts" in name for name in trained(model))
    in_transformers = conversion_mapping._MODEL_TO_CONVERSION_PATTERN
    expected = {name for name, pattern in in_transformers.items() if pattern == "qwen2_moe"}
    assert expected == architectures._REWRITTEN


def test_experts_of_a_dense_model_are_refused(tiny_folder: Path) -> None:
    with pytest.raises(UserError, match=r"adapter\.experts=all but the model has no experts"):
        attach(held(tiny_folder, "none"), adapter("adapter=moe"))
