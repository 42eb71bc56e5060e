"""The table refuses what fails, says why and what to do instead, and allows the rest."""

from pathlib import Path

import pytest
import torch

from loraflow.errors import UserError
from loraflow.model.methods import methods_markdown
from tests.conftest import composed
from tests.model.ways import IDS, MASK, adapter, attach, held, load, logits, train

NONE = "quantization=none"
REFUSED = [
    (["adapter=full"], r"adapter\.method=full .*quantization\.method=nf4: .*set quantization=none"),
    (["adapter=full", "quantization=int8"], r"full .*quantization\.method=int8: "),
    (["adapter=pissa"], r"init_lora_weights=pissa .*quantization\.method=nf4: .*singular vectors"),
    (["adapter=pissa", "quantization=int8"], "pissa does not go with"),
    (["adapter.init_lora_weights=olora"], r"olora .*method=nf4: .*moves the model.*set quantiz"),
    (["adapter.init_lora_weights=olora", "quantization=int8"], "olora does not go with"),
    (["adapter.init_lora_weights=loftq", NONE], r"loftq .*method=none: .*set quantization=nf4"),
    (["adapter.init_lora_weights=loftq", "quantization=int8"], "loftq does not go with"),
    (["adapter=dora", "quantization=int8"], r"use_dora=true .*method=int8: .*set quantization=nf4"),
    (["adapter=head_only"], r"head_only does not go with train\.task=sft: .*set train=classify"),
    (["adapter=prompt", "train=classify"], r"prompt does not go with train\.task=classify: "),
    (["adapter=p_tuning", "train=classify"], r"p_tuning does not go with train\.task=classify: "),
    (
        ["adapter.alpha=32"],
        r"adapter\.alpha=32.* is the scale itself.*set adapter\.alpha_mode=fixed",
    ),
    (
        ["adapter=ia3", "adapter.use_dora=true"],
        r"use_dora=True does nothing with adapter\.method=ia3",
    ),
    (["adapter=ia3", "adapter.dropout=0.1"], r"set adapter\.dropout=0\.0"),
    (["adapter=adalora", "adapter.init_lora_weights=pissa", NONE], "does nothing with .*adalora"),
    (
        ["adapter=adalora", "+adapter.rank_pattern.q_proj=2"],
        r"rank_pattern=.*set .*rank_pattern=\{\}",
    ),
    (["adapter=adalora", "adapter.alpha_mode=rslora"], "alpha_mode=rslora does nothing with"),
    (
        ["adapter=prefix", "adapter.layers_to_transform=[0]"],
        r"set adapter\.layers_to_transform=null",
    ),
    (["adapter=moe", "adapter.dropout=0.1"], r"dropout=0\.1 does not go with adapter\.experts=all"),
    (["adapter=moe", "adapter.use_dora=true"], "use_dora=True does not go with .*experts=all"),
    (["adapter=moe", "adapter.init_lora_weights=eva"], "init_lora_weights=eva does not go with"),
    (["adapter=moe", "+adapter.rank_pattern.q_proj=2"], "all experts have rank r"),
    (["adapter=moe", "adapter.experts=[]"], r"adapter\.experts=\[\] names none"),
    (["adapter.layers_to_transform=[]"], r"layers_to_transform=\[\] names none"),
    (
        ["adapter.init_lora_weights=eva", "+adapter.rank_pattern.q_proj=2"],
        "rank_pattern does not go with .*eva",
    ),
    (
        ["adapter=dora", "adapter.init_lora_weights=loftq"],
        "use_dora=true does not go with .*loftq",
    ),
    (["quantization.method=none"], r"double_quant=true does nothing.*double_quant=false"),
    (["adapter=adalora", "train.progressive=[1,1]"], r"progressive=.* does nothing with .*adalora"),
    (["adapter=prompt", "train.progressive=[1,1]"], "is for lora, ia3, full; set train"),
    (["train.progressive=[1]"], r"progressive=\[1\.0\] is one group"),
    (
        ["adapter=prefix", "train.speed.activation_checkpointing=true"],
        "activation_checkpointing=true does not go with adapter.method=prefix",
    ),
    (["adapter=ia3", "train.loraplus_lr_ratio=16"], "loraplus_lr_ratio=16.0 does nothing with"),
]


@pytest.mark.parametrize(("overrides", "match"), REFUSED, ids=lambda part: str(part)[:60])
def test_what_does_not_go_together_is_refused(overrides: list[str], match: str) -> None:
    with pytest.raises(UserError, match=match):
        composed(*overrides)


@pytest.mark.parametrize(
    "overrides",
    [
        ["adapter=full", NONE],
        ["adapter=pissa", NONE],
        ["adapter.init_lora_weights=loftq"],
        ["adapter=dora", "quantization=fp4"],
        ["adapter=prefix", "train=classify"],
        ["adapter=head_only", "train=classify"],
        ["adapter.alpha=32", "adapter.alpha_mode=fixed"],
        ["adapter.alpha=32", "adapter.alpha_mode=rslora"],
        ["adapter=adalora", "adapter.dropout=0.1", "adapter.layers_to_transform=[1]"],
        ["train.progressive=[1,2]"],
        ["adapter=full", NONE, "train.progressive=[1,2]"],
        ["adapter=none", "quantization=int8"],
    ],
    ids=str,
)
def test_what_goes_together_passes(overrides: list[str]) -> None:
    composed(*overrides)


@pytest.mark.parametrize("method", ["adalora", "p_tuning"])
def test_what_cannot_go_on_is_refused_in_a_chain(method: str) -> None:
    with pytest.raises(UserError, match=rf"method={method} cannot go on from an earlier training"):
        composed("experiment=cpt_then_sft_then_dpo", f"adapter={method}")


def test_a_fault_of_an_earlier_training_names_it() -> None:
    with pytest.raises(
        UserError, match=r"head_only does not go with before\.\w+\.train\.task=text"
    ):
        composed("experiment=cpt_then_sft_then_dpo", "adapter=head_only")


def test_markdown_has_a_row_a_way_and_a_reason_a_refusal() -> None:
    table, notes = methods_markdown().split("\n\n")
    rows = table.splitlines()
    assert len({row.count("|") for row in rows}) == 1
    assert (
        "| `adapter.method=full` | yes | yes | yes | yes | yes | no (7) | no (7) | no (7) |" in rows
    )
    assert notes.splitlines()[6].startswith("7. quantized weights cannot be trained")


# What is refused still fails, or is off, with the installed libraries. When one of these tests
# fails, a library has learned it and the row of the table can go.


def test_pissa_still_fails_on_a_quantized_base(tiny_folder: Path) -> None:
    for method in ("int8", "nf4", "fp4"):
        with pytest.raises(TypeError, match="PiSSA"):
            attach(held(tiny_folder, method), adapter("adapter=pissa"))


@pytest.mark.parametrize(("method", "least"), [("int8", 0.005), ("nf4", 0.03), ("fp4", 0.03)])
def test_olora_still_moves_a_quantized_base(method: str, least: float, tiny_folder: Path) -> None:
    base = held(tiny_folder, method)
    model = attach(base, adapter("adapter.init_lora_weights=olora"))
    before = logits(load(base))
    assert (logits(model) - before).abs().max() > least * before.abs().max()


def test_dora_still_fails_in_eight_bits(tiny_folder: Path) -> None:
    with pytest.raises(AttributeError, match="NoneType"):
        train(attach(held(tiny_folder, "int8"), adapter("adapter=dora")))


@pytest.mark.parametrize(
    ("way", "reads_padding"), [("prompt", True), ("p_tuning", True), ("prefix", False)]
)
def test_a_classifier_behind_learned_vectors_still_reads_the_padding(
    way: str, reads_padding: bool, tiny_folder: Path
) -> None:
    model = attach(held(tiny_folder, "none"), adapter(f"adapter={way}"), task="classify").eval()
    ids, mask = IDS.clone(), MASK.clone()
    ids[0, 8:], mask[0, 8:] = model.config.pad_token_id, 0
    with torch.no_grad():
        padded = model(input_ids=ids, attention_mask=mask).logits[0]
        alone = model(input_ids=ids[:1, :8], attention_mask=mask[:1, :8]).logits[0]
    assert ((padded - alone).abs().max() > 1e-3) == reads_padding
