"""Target modules are known from the model's files alone, for every architecture."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

from loraflow.errors import UserError
from loraflow.model.architectures import _DERIVED, SETS, is_in_table, layer_of, layout_of, select
from loraflow.model.load import load_base
from loraflow.model.peft_config import linear_names
from loraflow.model.size import count_saved
from loraflow.model.source import BaseModel
from loraflow.model.targets import find_targets, linear_modules, target_shapes
from tests.model.ways import adapter, attach, held, trained

ENCODERS = ["bert", "distilbert", "modernbert", "roberta"]
SMALL = {
    **dict.fromkeys(("vocab_size", "intermediate_size", "ffn_dim", "hidden_dim"), 64),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("hidden_size", "n_embd", "dim", "d_model", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("num_key_value_heads", "rotary_dim"), 2),
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), 1),
    "head_dim": 8,
}


def sets_of(model_type: str) -> dict[str, set[str]]:
    """Return the endings that each set names in a model of this type, built without weights."""
    names = names_of(model_type)
    found = {
        name: find_targets(
            adapter(f"adapter.target_modules={name}"), names, model_type=model_type, experts=0
        )
        for name in SETS
    }
    return {name: {ending(module) for module in modules} for name, modules in found.items()}


def names_of(model_type: str) -> list[str]:
    make: Any = AutoModelForCausalLM
    if model_type in ENCODERS:
        make = AutoModelForSequenceClassification
    with torch.device("meta"):
        return linear_names(make.from_config(small_config(model_type)))


def small_config(model_type: str) -> Any:
    settings = AutoConfig.for_model(model_type).to_dict()
    small: dict[str, Any] = {key: value for key, value in SMALL.items() if key in settings}
    if model_type == "gpt_neo":
        small["attention_types"] = [[["global", "local"], 1]]
    return AutoConfig.for_model(model_type, **small)


def ending(module: str) -> str:
    return re.split(r"\.\d+\.", module)[-1]


SEPARATE = "self_attn.q_proj self_attn.v_proj|self_attn.k_proj self_attn.o_proj"
GATED = "mlp.gate_proj mlp.up_proj mlp.down_proj"
H_4H = "mlp.dense_h_to_4h mlp.dense_4h_to_h"
BERT = "attention.self.query attention.self.value|attention.self.key attention.output.dense"
EXPECTED = {  # queries and values | the rest of attention | feed-forward
    "llama": f"{SEPARATE}|{GATED}",
    "mistral": f"{SEPARATE}|{GATED}",
    "qwen2": f"{SEPARATE}|{GATED}",
    "qwen3": f"{SEPARATE}|{GATED}",
    "gemma": f"{SEPARATE}|{GATED}",
    "gemma2": f"{SEPARATE}|{GATED}",
    "gemma3_text": f"{SEPARATE}|{GATED}",
    "phi3": "self_attn.qkv_proj|self_attn.o_proj|mlp.gate_up_proj mlp.down_proj",
    "phi": "self_attn.q_proj self_attn.v_proj|self_attn.k_proj self_attn.dense|mlp.fc1 mlp.fc2",
    "gpt_neox": f"attention.query_key_value|attention.dense|{H_4H}",
    "bloom": f"self_attention.query_key_value|self_attention.dense|{H_4H}",
    "falcon": f"self_attention.query_key_value|self_attention.dense|{H_4H}",
    "gpt2": "attn.c_attn|attn.c_proj|mlp.c_fc mlp.c_proj",
    "gptj": "attn.q_proj attn.v_proj|attn.k_proj attn.out_proj|mlp.fc_in mlp.fc_out",
    "gpt_neo": "attn.attention.q_proj attn.attention.v_proj|attn.attention.k_proj "
    "attn.attention.out_proj|mlp.c_fc mlp.c_proj",
    "opt": "self_attn.q_proj self_attn.v_proj|self_attn.k_proj self_attn.out_proj|fc1 fc2",
    "starcoder2": f"{SEPARATE}|mlp.c_fc mlp.c_proj",
    "bert": f"{BERT}|intermediate.dense output.dense",
    "roberta": f"{BERT}|intermediate.dense output.dense",
    "distilbert": "attention.q_lin attention.v_lin|attention.k_lin attention.out_lin|"
    "ffn.lin1 ffn.lin2",
    "modernbert": "attn.Wqkv|attn.Wo|mlp.Wi mlp.Wo",
}


@pytest.mark.parametrize("model_type", EXPECTED)
def test_sets_are_what_the_architecture_calls_them(model_type: str) -> None:
    query_value, rest, mlp = (set(part.split()) for part in EXPECTED[model_type].split("|"))
    assert is_in_table(model_type)
    assert sets_of(model_type) == {
        "attention_qv": query_value,
        "attention": query_value | rest,
        "mlp": mlp,
        "all_linear": query_value | rest | mlp,
    }


@pytest.mark.parametrize("model_type", EXPECTED)
def test_an_unknown_architecture_is_read_from_its_names(
    model_type: str,
) -> None:
    names, known, derived = names_of(model_type), layout_of(model_type), _DERIVED
    for part in ("query_value", "key_value", "attention", "mlp", "down"):
        assert select(getattr(derived, part), names) == select(getattr(known, part), names), part


CHATGLM = [
    f"transformer.encoder.layers.{layer}.{module}"
    for layer in range(2)
    for module in (
        "self_attention.query_key_value",
        "self_attention.dense",
        "mlp.dense_h_to_4h",
        "mlp.dense_4h_to_h",
    )
]


@pytest.mark.parametrize(
    ("chosen", "expected"),
    [("attention_qv", [0, 4]), ("attention", [0, 1, 4, 5]), ("mlp", [2, 3, 6, 7])],
)
def test_sets_of_an_architecture_with_code_of_its_own(chosen: str, expected: list[int]) -> None:
    asked = adapter(f"adapter.target_modules={chosen}")
    found = find_targets(asked, CHATGLM, model_type="chatglm", experts=0)
    assert found == [CHATGLM[place] for place in expected]


@pytest.mark.parametrize(("model_type", "said"), [("gpt_neox", 1), ("llama", 0)])
def test_fused_queries_and_values_are_said_once(
    model_type: str, said: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    AutoModelForCausalLM.from_config(small_config(model_type)).save_pretrained(tmp_path)
    with caplog.at_level("INFO", "loraflow.model.adapter"):
        attach(held(tmp_path, "none"), adapter("adapter.target_modules=attention_qv"))
    assert len([text for text in caplog.messages if "attention_qv is all three" in text]) == said


def test_shapes_are_those_of_the_loaded_model(tiny_base: BaseModel) -> None:
    model = load_base(tiny_base)
    for name, shape in linear_modules(tiny_base.folder).items():
        assert model.get_submodule(name).weight.shape == shape


def test_embeddings_carry_no_adapter(tiny_base: BaseModel) -> None:
    assert not [name for name in linear_modules(tiny_base.folder) if "embed" in name]


@pytest.mark.parametrize(
    ("target_modules", "expected"),
    [
        ("[q_proj]", 2),
        ("[q_proj,v_proj]", 4),
        (r"'.*\.0\.mlp\..*'", 3),
        ("all_linear", 14),
        ("attention", 8),
        ("attention_qv", 4),
        ("mlp", 6),
        ("[attention_qv,up_proj]", 6),
    ],
)
def test_names_patterns_and_sets(target_modules: str, expected: int, tiny_base: BaseModel) -> None:
    chosen = adapter(f"adapter.target_modules={target_modules}")
    found = target_shapes(chosen, tiny_base.folder)
    assert len(found) == expected
    in_memory = attach(tiny_base, chosen)
    assert {name.partition(".lora_")[0] for name in trained(in_memory)} == {
        f"base_model.model.{name}" for name in found
    }


@pytest.mark.parametrize("targets", [["q_proj"], ["layers.0.mlp.up_proj"], r".*\.1\..*_proj"])
def test_matches_are_those_of_peft(targets: list[str] | str, tiny_base: BaseModel) -> None:
    modules = linear_modules(tiny_base.folder)
    config = LoraConfig(target_modules=targets)
    in_peft = [name for name in modules if check_target_module_exists(config, name)]
    shown = targets if isinstance(targets, list) else f"'{targets}'"
    chosen = adapter(f"adapter.target_modules={shown}")
    assert list(target_shapes(chosen, tiny_base.folder)) == in_peft


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (
            ["adapter.target_modules=[v_proj,q_porj]"],
            r"q_porj matches no module.*did you mean q_proj.*v_proj",
        ),
        (["adapter.target_modules=q_proj"], r"set adapter\.target_modules=\[q_proj\]"),
        (["adapter.target_modules=all-linear"], r"did you mean all_linear"),
        (["adapter.target_modules='['"], "no regular expression"),
        (
            ["adapter.layers_to_transform=[0,2]"],
            r"layers_to_transform=\[0, 2\].*no layer 2;.*0 to 1",
        ),
        (["+adapter.rank_pattern.k_porj=2"], r"rank_pattern: k_porj matches no module.*k_proj"),
        (["+adapter.rank_pattern.up_proj=2"], r"rank_pattern: up_proj .*adapter\.target_modules"),
        (
            ["+adapter.rank_pattern.k_proj=2", "+adapter.rank_pattern.self_attn=2"],
            r"rank_pattern: self_attn matches no module",
        ),
    ],
)
def test_what_names_nothing_is_refused_before_and_at_loading(
    overrides: list[str], match: str, tiny_base: BaseModel
) -> None:
    chosen = adapter(*overrides)
    with pytest.raises(UserError, match=match):
        count_saved(chosen, tiny_base.folder)
    with pytest.raises(UserError, match=match):
        attach(tiny_base, chosen)


def test_two_ranks_for_one_module_are_refused(tiny_base: BaseModel) -> None:
    chosen = replace(adapter(), rank_pattern={"k_proj": 2, ".*_proj": 4})
    with pytest.raises(UserError, match=r"rank_pattern: k_proj and \.\*_proj both match"):
        attach(tiny_base, chosen)


@pytest.mark.parametrize("way", ["lora", "dora", "ia3", "prompt", "prefix", "none"])
def test_what_is_saved_is_known_before(way: str, tiny_base: BaseModel, tmp_path: Path) -> None:
    chosen = adapter(f"adapter={way}")
    model = attach(tiny_base, chosen)
    known = count_saved(chosen, tiny_base.folder)
    saved = sum(value.numel() for value in trained(model).values())
    if way in ("lora", "prompt", "none"):
        assert known == saved
    assert known >= saved / 2


def test_the_vectors_of_a_prefix_are_counted_whatever_the_config_calls_its_width(
    tmp_path: Path,
) -> None:
    AutoModelForCausalLM.from_config(small_config("gpt2")).save_pretrained(tmp_path)
    chosen = adapter("adapter=prefix")
    model = attach(held(tmp_path, "none"), chosen)
    assert count_saved(chosen, tmp_path) == sum(value.numel() for value in trained(model).values())


def test_the_first_number_of_a_name_is_its_layer() -> None:
    assert layer_of("model.layers.3.mlp.experts.7.w1") == 3
    assert layer_of("h.11.attn.c_attn") == 11
    assert layer_of("lm_head") is None
