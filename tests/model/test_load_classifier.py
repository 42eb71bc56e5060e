"""A classifier is the base under a new head, which follows from the seed and is never quantized."""

from pathlib import Path
from typing import Literal

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from torch import nn

from loraflow.config import QuantizationConfig
from loraflow.errors import UserError
from loraflow.model.load import Classifier, load_classifier, load_trained_classifier
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer, stop_tokens
from tests.tiny_encoder import make_encoder

LABELS = ["负面", "正面", "neutral"]


@pytest.fixture(params=["decoder", "encoder"])
def base(request: pytest.FixtureRequest, tiny_base: BaseModel, tmp_path: Path) -> BaseModel:
    return tiny_base if request.param == "decoder" else make_encoder(tmp_path / "encoder")


def packed(base: BaseModel, method: Literal["nf4", "int8"]) -> BaseModel:
    held = QuantizationConfig(method, method == "nf4", "float32")
    return BaseModel(base.name, base.folder, base.revision, False, held)


def head(model: Classifier) -> dict[str, torch.Tensor]:
    return {
        name: value
        for name, value in model.named_parameters()
        if not name.startswith(f"{model.base_model_prefix}.")
    }


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


def test_the_head_follows_from_the_seed(base: BaseModel) -> None:
    first, again, other = (head(load_classifier(base, LABELS, seed=seed)) for seed in (1, 1, 2))
    assert first
    assert equal(first, again)
    assert not equal(first, other)


def test_the_head_does_not_disturb_other_draws(base: BaseModel) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    load_classifier(base, LABELS, seed=1)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(("method", "layer"), [("nf4", Linear4bit), ("int8", Linear8bitLt)])
def test_a_quantized_base_keeps_its_head_whole(
    method: Literal["nf4", "int8"], layer: type, base: BaseModel
) -> None:
    model = load_classifier(packed(base, method), LABELS, seed=1)
    names = [name for name, module in model.named_modules() if isinstance(module, layer)]
    assert names
    assert all(name.startswith(f"{model.base_model_prefix}.") for name in names)
    linear = [module for module in model.modules() if type(module) is nn.Linear]
    assert len(linear) == sum(value.ndim == 2 for value in head(model).values())
    assert equal(head(model), head(load_classifier(base, LABELS, seed=1)))


def test_labels_are_numbered_in_their_order(base: BaseModel) -> None:
    config = load_classifier(base, LABELS, seed=1).config
    assert config.num_labels == 3
    assert config.id2label == dict(enumerate(LABELS))
    assert config.label2id == {label: number for number, label in enumerate(LABELS)}


def test_padding_changes_no_label(base: BaseModel) -> None:
    model = load_trained_classifier(base, None, LABELS)
    texts = {"input_ids": [[5, 6, 7, 8, 9], [7, 8]]}
    inputs = load_tokenizer(base).pad(texts, padding_side="right", return_tensors="pt")
    with torch.no_grad():
        together = model(**inputs).logits[1]
        alone = model(torch.tensor([[7, 8]])).logits[0]
    torch.testing.assert_close(together, alone)


def test_an_unpacked_base_classifies_as_the_packed_one(base: BaseModel) -> None:
    held = load_classifier(packed(base, "nf4"), LABELS, seed=0).eval()
    unpacked = load_trained_classifier(packed(base, "nf4"), None, LABELS)
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        torch.testing.assert_close(held(ids).logits, unpacked(ids).logits, rtol=1e-4, atol=1e-4)


def test_an_encoder_can_pad_but_not_answer(tmp_path: Path) -> None:
    base = make_encoder(tmp_path / "encoder")
    tokenizer = load_tokenizer(base)
    assert tokenizer.pad_token == "[PAD]"
    with pytest.raises(UserError, match="has no EOS token, so no answer would end"):
        stop_tokens(base, tokenizer)
