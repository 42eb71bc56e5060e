"""Answers are measured with any adapter, also one that puts vectors before the text."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    LoraConfig,
    PeftConfig,
    PrefixTuningConfig,
    PromptEncoderConfig,
    PromptTuningConfig,
)

from loraflow.data.records import Record
from loraflow.evaluate.generate.prompt import Prompt
from loraflow.evaluate.generate.run import generate_answers
from loraflow.evaluate.journal import Journal
from loraflow.model.load import load_base, load_for_answers
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from tests.data.tokens import chat, training
from tests.evaluate.arms import Task, check_foretold, save_adapter

ROWS: list[Record] = [chat("你是谁？", "家父是甄远道。"), chat("Who?", "Me."), chat("a b c", "d e")]
CAUSAL = {"task_type": "CAUSAL_LM"}
METHODS: dict[str, PeftConfig] = {
    "lora": LoraConfig(r=2, target_modules=["q_proj"], **CAUSAL),
    "prefix": PrefixTuningConfig(num_virtual_tokens=3, **CAUSAL),
    "prompt": PromptTuningConfig(num_virtual_tokens=3, **CAUSAL),
    "p_tuning": PromptEncoderConfig(num_virtual_tokens=3, encoder_hidden_size=8, **CAUSAL),
}


@pytest.fixture
def task(tiny_base: BaseModel, tmp_path: Path) -> Task:
    return Task(tmp_path, tiny_base, training(96), ROWS, form="native")


def test_the_base_is_measured_without_an_adapter(task: Task) -> None:
    items, summary = task.measure()
    assert [item["reference"] for item in items] == [row.answer for row in ROWS]
    assert len({item["prompt_id"] for item in items}) == len({row.question for row in ROWS})
    assert summary["counts"] == {"items": 3}
    assert set(summary["metrics"]) == {
        *("exact_match", "bleu", "chrf", "rouge1", "rouge2", "rougeL"),
        *("loss", "perplexity", "bits_per_byte", "token_accuracy"),
        *("answer_characters", "refusal_share", "repetition", "cut_share"),
    }
    assert summary["speed"]["tokens_per_second"] > 0
    check_foretold("sft", summary)


@pytest.mark.parametrize("method", METHODS)
def test_losses_are_the_models_own(
    method: str, task: Task, tiny_base: BaseModel, tmp_path: Path
) -> None:
    model = save_adapter(load_base(tiny_base), METHODS[method], tmp_path / method)
    items, _ = task.measure(tmp_path / method)
    for item, example in zip(items, task.tokens.examples("held_out"), strict=True):
        ids, labels = (torch.tensor([example[name]]) for name in ("input_ids", "labels"))
        with torch.no_grad():
            own = model(input_ids=ids, labels=labels, attention_mask=torch.ones_like(ids)).loss
        assert item["loss"] == pytest.approx(float(own), rel=1e-4)


def greedy(model: Any, ids: list[int]) -> list[int]:
    """Return 8 more tokens, each from a forward pass over all before it."""
    for _ in range(8):
        text = torch.tensor([ids])
        with torch.no_grad():
            logits = model(input_ids=text, attention_mask=torch.ones_like(text)).logits
        ids = [*ids, int(logits[0, -1].argmax())]
    return ids[-8:]


@pytest.mark.parametrize("method", METHODS)
def test_answers_are_the_models_own_whatever_the_batch(
    method: str, tiny_base: BaseModel, tmp_path: Path
) -> None:
    trained = save_adapter(load_base(tiny_base), METHODS[method], tmp_path / method)
    model, tokenizer = load_for_answers(tiny_base, tmp_path / method), load_tokenizer(tiny_base)
    prompts = [[10, 11, 12, 13, 14, 15], [20, 21], [30, 31, 32]]
    expected = [tokenizer.decode(greedy(trained, prompt)).strip() for prompt in prompts]
    assert len(set(expected)) == len(prompts)
    asked = [Prompt(str(number), ids, 8) for number, ids in enumerate(prompts)]
    for size in (1, 3):
        with Journal(tmp_path / f"{size}.jsonl") as journal:
            answers, _ = generate_answers(
                model, tokenizer, asked, batch_size=size, stop=[399], journal=journal
            )
        assert [answer.text for answer in answers] == expected


def test_a_whole_model_is_loaded_where_all_of_it_was_trained(
    task: Task, tiny_base: BaseModel, tmp_path: Path
) -> None:
    model = load_base(tiny_base)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(3)
    model.save_pretrained(tmp_path / "full" / "model")
    before, after = task.measure()[0], task.measure(tmp_path / "full")[0]
    assert all(one["loss"] != other["loss"] for one, other in zip(before, after, strict=True))


def test_nothing_trained_is_the_base(task: Task, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    (items, nothing), (expected, base) = task.measure(tmp_path / "none"), task.measure()
    assert items == expected
    assert nothing["metrics"] == base["metrics"]
