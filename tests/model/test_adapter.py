"""Every way to train attaches, learns, and is the same after it was saved and loaded."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, BertConfig, DistilBertConfig

from loraflow.errors import UserError
from loraflow.model.adapter import attach_adapter, count_parameters, effective_scale
from loraflow.model.initialise import initialise_prefix
from loraflow.model.load import load_base
from loraflow.model.peft_config import schedule
from loraflow.model.source import BaseModel
from tests.model.ways import IDS, ROWS, adapter, attach, held, load, logits, reload, train, trained

WAYS = {  # overrides -> quantizations that the table allows
    "adapter=lora": "none int8 nf4 fp4",
    "adapter=rslora": "none nf4",
    "adapter=dora": "none nf4 fp4",
    "adapter.init_lora_weights=gaussian": "none int8 nf4 fp4",
    "adapter=pissa": "none",
    "adapter.init_lora_weights=olora": "none",
    "adapter.init_lora_weights=loftq": "nf4 fp4",
    "adapter.init_lora_weights=eva": "none int8 nf4 fp4",
    "adapter=adalora": "none int8 nf4 fp4",
    "adapter=ia3": "none int8 nf4 fp4",
    "adapter=prefix": "none int8 nf4 fp4",
    "adapter=prompt": "none int8 nf4 fp4",
    "adapter=p_tuning": "none int8 nf4 fp4",
}
PROMPTS = ("adapter=prefix", "adapter=prompt", "adapter=p_tuning")
PAIRS = [(way, method) for way, methods in WAYS.items() for method in methods.split()]


@pytest.mark.parametrize(("way", "method"), PAIRS)
def test_every_way_learns_and_reloads_to_the_same_logits(
    way: str, method: str, tiny_folder: Path, tmp_path: Path
) -> None:
    base = held(tiny_folder, method)
    model = attach(base, adapter(way))
    assert {value.dtype for value in trained(model).values()} == {torch.float32}
    losses = train(model)
    assert losses[-1] < losses[0] - 1e-3
    model.save_pretrained(tmp_path)
    after = logits(model)
    off = (logits(reload(base, tmp_path)) - after).abs().max()
    assert off <= 1e-6  # p_tuning keeps the result of its network, computed row by row


@pytest.mark.parametrize("way", [way for way in WAYS if way not in PROMPTS[1:]])
def test_every_way_learns_labels_and_keeps_its_head(
    way: str, tiny_folder: Path, tmp_path: Path
) -> None:
    base = held(tiny_folder, "nf4" if "nf4" in WAYS[way] else "none")
    model = attach(base, adapter(way), task="classify")
    head = [name for name in trained(model) if ".score." in name]
    assert len(head) == 1
    losses = train(model, task="classify")
    assert losses[-1] < losses[0] - 0.02
    model.save_pretrained(tmp_path)
    after = logits(model)
    torch.testing.assert_close(logits(reload(base, tmp_path, "classify")), after)


@pytest.mark.parametrize("way", sorted({*WAYS} - {*PROMPTS, "adapter.init_lora_weights=loftq"}))
def test_the_first_step_starts_where_the_base_is(way: str, tiny_base: BaseModel) -> None:
    off = logits(attach(tiny_base, adapter(way))) - logits(load(tiny_base))
    assert off.abs().max() < 1e-5


def test_loftq_is_closer_to_the_original_than_its_quantized_base(tiny_folder: Path) -> None:
    original = logits(load(held(tiny_folder, "none")))
    base = held(tiny_folder, "nf4")
    chosen = adapter("adapter.init_lora_weights=loftq", "adapter.target_modules=all_linear")
    repaired = logits(attach(base, chosen))
    assert (repaired - original).norm() < 0.9 * (logits(load(base)) - original).norm()


def test_eva_moves_ranks_and_keeps_their_sum_and_scale(tiny_base: BaseModel) -> None:
    sets = "adapter.target_modules=all_linear"
    model = attach(tiny_base, adapter("adapter.init_lora_weights=eva", "adapter.r=4", sets))
    layers = [module for module in model.modules() if hasattr(module, "lora_A")]
    ranks = [module.r["default"] for module in layers]
    assert len(set(ranks)) > 1
    assert sum(ranks) == 4 * 14
    assert {module.scaling["default"] for module in layers} == {2.0}


def test_eva_starts_from_the_main_directions_of_the_inputs(tiny_folder: Path) -> None:
    base = held(tiny_folder, "none", "bfloat16")
    model = attach(base, adapter("adapter.init_lora_weights=eva"))
    assert {value.dtype for value in trained(model).values()} == {torch.float32}
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    rows = layer.lora_A["default"].weight
    inputs = model.get_input_embeddings()(torch.tensor([token for row in ROWS for token in row]))
    inputs = model.base_model.model.model.layers[0].input_layernorm(inputs).float()
    _, _, directions = torch.linalg.svd(inputs - inputs.mean(0), full_matrices=False)
    overlap = (rows @ directions[: len(rows)].T).abs()
    assert overlap.diagonal()[:2].min() > 0.95
    assert torch.linalg.svdvals(overlap).min() > 0.8


def test_a_prefix_starts_as_words_before_the_text(tiny_nf4_base: BaseModel) -> None:
    model = attach(tiny_nf4_base, adapter("adapter=prefix"))
    torch.manual_seed(3)
    initialise_prefix(model)
    torch.manual_seed(3)
    words = torch.randint(model.config.vocab_size, (1, 20)).expand(len(IDS), -1)
    with torch.no_grad():
        plain = load(tiny_nf4_base).eval()(torch.cat([words, IDS], dim=1)).logits[:, 20:]
    torch.testing.assert_close(logits(model), plain)


def test_a_prefix_is_kept_in_float32(tiny_folder: Path) -> None:
    model = attach(held(tiny_folder, "nf4", "bfloat16"), adapter("adapter=prefix"))
    assert {value.dtype for value in trained(model).values()} == {torch.float32}


def scales(model: torch.nn.Module) -> dict[str, float]:
    return {
        name: float(module.scaling["default"])
        for name, module in model.named_modules()
        if hasattr(module, "lora_A")
    }


@pytest.mark.parametrize("r", [1, 4, 16])
@pytest.mark.parametrize(
    ("mode", "alpha", "expected"),
    [
        ("fixed", 32, lambda r: 32 / r),
        ("ratio", 2, lambda r: 2.0),
        ("rslora", 4, lambda r: 4 / r**0.5),
    ],
)
def test_scale_is_what_alpha_mode_says(
    mode: str, alpha: float, expected: Callable[[int], float], r: int, tiny_base: BaseModel
) -> None:
    chosen = adapter(f"adapter.r={r}", f"adapter.alpha={alpha}", f"adapter.alpha_mode={mode}")
    (in_peft,) = set(scales(attach(tiny_base, chosen)).values())
    assert in_peft == effective_scale(chosen) == pytest.approx(expected(r))


@pytest.mark.parametrize(
    ("mode", "expected"), [("ratio", [2.0]), ("fixed", [0.25, 0.5]), ("rslora", [2 / 8**0.5, 1.0])]
)
def test_a_rank_of_its_own_has_the_scale_of_its_mode(
    mode: str, expected: list[float], tiny_base: BaseModel
) -> None:
    chosen = adapter(f"adapter.alpha_mode={mode}", "+adapter.rank_pattern.v_proj=4")
    model = attach(tiny_base, chosen)
    assert sorted(set(scales(model).values())) == pytest.approx(expected)
    ranks = {name: value.shape[0] for name, value in trained(model).items() if "lora_A" in name}
    assert {rank for name, rank in ranks.items() if "v_proj" in name} == {4}
    assert {rank for name, rank in ranks.items() if "v_proj" not in name} == {8}


def test_adalora_is_scaled_by_its_first_rank(tiny_base: BaseModel) -> None:
    model = attach(tiny_base, adapter("adapter=adalora", "adapter.r=3"))
    layer = next(module for module in model.modules() if hasattr(module, "ranknum"))
    scale = layer.scaling["default"] / layer.ranknum["default"]
    assert len(layer.lora_A["default"]) == 5  # 1.5 x 3, rounded up
    assert float(scale) == pytest.approx(effective_scale(adapter("adapter=adalora"))) == 2.0


@pytest.mark.parametrize("steps", [2, 3, 4, 10, 1000])
def test_adalora_has_a_phase_that_takes_ranks(steps: int) -> None:
    phases = schedule(steps)
    assert phases["tinit"] < steps - phases["tfinal"]
    assert phases["deltaT"] <= max(1, steps - phases["tfinal"] - phases["tinit"])


def test_full_trains_every_weight_in_float32(tiny_folder: Path) -> None:
    model = attach(held(tiny_folder, "none", "bfloat16"), adapter("adapter=full"))
    assert len(trained(model)) == len(list(model.parameters()))
    assert {value.dtype for value in model.parameters()} == {torch.float32}
    assert model.lm_head.weight is model.model.embed_tokens.weight  # still tied


def test_head_only_trains_the_head_alone(tiny_folder: Path) -> None:
    base = held(tiny_folder, "nf4", "bfloat16")
    model = attach(base, adapter("adapter=head_only"), task="classify")
    assert list(trained(model)) == ["score.weight"]
    assert model.score.weight.dtype == torch.float32


@pytest.mark.parametrize(("way", "said"), [("ia3", 1), ("prompt", 1), ("full", 1), ("dora", 0)])
def test_what_a_method_does_not_read_is_said(
    way: str, said: int, tiny_base: BaseModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", "loraflow.model.adapter"):
        attach(tiny_base, adapter(f"adapter={way}"))
    assert len([text for text in caplog.messages if "reads neither r nor alpha" in text]) == said


def test_none_trains_nothing(tiny_nf4_base: BaseModel) -> None:
    assert not trained(attach(tiny_nf4_base, adapter("adapter=none")))


def test_ia3_scales_keys_values_and_the_inner_activation(tiny_base: BaseModel) -> None:
    model = attach(tiny_base, adapter("adapter=ia3"))
    places = {name.split(".")[-3] for name in trained(model)}
    assert places == {"k_proj", "v_proj", "down_proj"}


def test_only_the_chosen_layers_have_an_adapter(tiny_base: BaseModel) -> None:
    for way in ("lora", "ia3", "adalora"):
        model = attach(tiny_base, adapter(f"adapter={way}", "adapter.layers_to_transform=[1]"))
        assert all(".layers.1." in name for name in trained(model))


CONTINUED = ["lora", "dora", "pissa", "ia3", "prefix", "prompt"]


@pytest.mark.parametrize("way", CONTINUED)
def test_an_earlier_adapter_is_trained_on(way: str, tiny_base: BaseModel, tmp_path: Path) -> None:
    chosen = adapter(f"adapter={way}")
    first = attach(tiny_base, chosen)
    train(first)
    first.save_pretrained(tmp_path)
    second = attach(tiny_base, chosen, start=tmp_path)
    assert {value.dtype for value in trained(second).values()} == {torch.float32}
    torch.testing.assert_close(logits(second), logits(first))
    assert trained(second).keys() == trained(first).keys()
    losses = train(second)
    assert losses[-1] < losses[0]


def test_a_classifier_goes_on_from_an_adapter_that_learned_text(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    chosen = adapter("adapter=lora")
    first = attach(tiny_base, chosen)
    train(first)
    first.save_pretrained(tmp_path)
    second = attach(tiny_base, chosen, task="classify", start=tmp_path)
    ours = {name: value for name, value in trained(second).items() if "lora_" in name}
    theirs = {name: value for name, value in trained(first).items() if "lora_" in name}
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert len(trained(second)) == len(ours) + 1  # the new head


def test_an_earlier_adapter_beside_other_modules_is_refused(
    tiny_base: BaseModel, tmp_path: Path
) -> None:
    attach(tiny_base, adapter("adapter.target_modules=mlp")).save_pretrained(tmp_path)
    weights = tmp_path / "adapter_model.safetensors"
    kept = weights.read_bytes()
    attach(tiny_base, adapter("adapter.target_modules=attention")).save_pretrained(tmp_path)
    weights.write_bytes(kept)
    with pytest.raises(UserError, match=r"earlier training.*does not fit.*same adapter section"):
        attach(tiny_base, adapter(), start=tmp_path)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory, tiny_folder: Path) -> dict[str, Path]:
    """Tiny encoders with random weights, saved without a head and, like some, without a pooler."""
    sizes = {"num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64}
    configs = {
        "bert": BertConfig(vocab_size=400, hidden_size=32, **sizes),
        "distilbert": DistilBertConfig(
            vocab_size=400, dim=32, n_layers=2, n_heads=4, hidden_dim=64
        ),
    }
    folders = {name: tmp_path_factory.mktemp(name) for name in configs}
    for name, folder in folders.items():
        AutoTokenizer.from_pretrained(tiny_folder).save_pretrained(folder)
        AutoModelForMaskedLM.from_config(configs[name]).save_pretrained(folder)
    return folders


HEADS = {
    "bert": ["bert.pooler", "classifier"],
    "distilbert": ["pre_classifier", "classifier"],
}


@pytest.mark.parametrize("name", HEADS)
@pytest.mark.parametrize("way", ["lora", "adalora", "ia3"])
def test_encoders_learn_labels_with_all_of_their_new_head(
    way: str, name: str, encoders: dict[str, Path], tmp_path: Path
) -> None:
    base = held(encoders[name], "nf4")
    model = attach(base, adapter(f"adapter={way}"), task="classify").eval()
    heads = {key.partition(".modules_to_save")[0] for key in trained(model) if "modules_to" in key}
    assert {key.removeprefix("base_model.model.") for key in heads} == set(HEADS[name])
    assert not any("classifier.lora" in key or "pooler.dense.lora" in key for key in trained(model))
    losses = train(model, task="classify")
    assert losses[-1] < losses[0]
    model.save_pretrained(tmp_path)
    after = logits(model)
    assert torch.equal(logits(reload(base, tmp_path, "classify")), after)


@pytest.mark.parametrize("name", HEADS)
def test_an_encoder_has_no_cache_for_a_prefix(name: str, encoders: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=rf"adapter\.method=prefix .* {name}; set adapter=lora"):
        attach(held(encoders[name], "none"), adapter("adapter=prefix"), task="classify")


@pytest.mark.parametrize("name", HEADS)
def test_head_only_trains_all_of_an_encoders_head(name: str, encoders: dict[str, Path]) -> None:
    model = attach(held(encoders[name], "none"), adapter("adapter=head_only"), task="classify")
    assert {key.rpartition(".")[0].removesuffix(".dense") for key in trained(model)} == set(
        HEADS[name]
    )


def test_the_seed_alone_decides_the_first_values(tiny_base: BaseModel) -> None:
    def first(seed: int) -> torch.Tensor:
        torch.manual_seed(99)
        model = attach_adapter(load_base(tiny_base), adapter(), task="sft", seed=seed)
        return next(value for name, value in trained(model).items() if "lora_A" in name)

    assert torch.equal(first(0), first(0))
    assert not torch.equal(first(0), first(1))


def test_parameters_are_counted_as_values_not_as_packed_bytes(
    tiny_base: BaseModel, tiny_nf4_base: BaseModel
) -> None:
    chosen = adapter("adapter.r=4", "adapter.target_modules=all_linear")
    plain, packed = (count_parameters(attach(base, chosen)) for base in (tiny_base, tiny_nf4_base))
    assert plain == packed
    # r * (in + out) of q, k, v, o, gate, up and down, in each of two layers
    shapes = [(64, 64), (64, 32), (64, 32), (64, 64), (64, 128), (64, 128), (128, 64)]
    assert plain["lora_parameters"] == 2 * 4 * sum(map(sum, shapes))
    assert plain["trainable_parameters"] == plain["lora_parameters"]
