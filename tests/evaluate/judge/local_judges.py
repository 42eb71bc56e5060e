"""Local judges on tiny models, and what they say worked out by hand, one row at a time."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from loraflow.evaluate.judge.local import LocalJudge, Reading
from loraflow.evaluate.judge.prompts import Prompts, load_prompts
from loraflow.evaluate.judge.scale import Scale
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer

SHORT: Prompts = {  # the tiny tokenizer needs a token for nearly each letter
    "single-v1": replace(
        load_prompts(None)["single-v1"],
        system_prompt="",
        prompt_template="Rate it. {question} >>> {answer}",
    ),
    "single-v1-multi-turn": replace(
        load_prompts(None)["single-v1-multi-turn"],
        system_prompt="Rate the last.",
        prompt_template="{question_1} {answer_1} {question_2} >>> {answer_2}",
    ),
}
SCALE = Scale(0.1, -0.5)


def random_model(tokenizer: Tokenizer, *, window: int = 1024) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=window,
        initializer_range=0.3,  # so that what comes before matters
    )
    return LlamaForCausalLM(config).eval()


def judge_of(
    model: Any,
    tokenizer: Tokenizer,
    base: BaseModel,
    reading: Reading,
    *,
    scale: Scale | None = SCALE,
) -> LocalJudge:
    return LocalJudge(
        model,
        tokenizer,
        base,
        reading=reading,
        batch_size=3,
        scale=scale,
        name="tiny",
        prompts=SHORT,
    )


def log_likelihood(model: Any, context: Sequence[int], answer: Sequence[int]) -> float:
    ids = torch.tensor([[*context, *answer]])
    with torch.no_grad():
        logs = model(ids).logits[0].double().log_softmax(-1)
    return float(sum(logs[len(context) + n - 1, token] for n, token in enumerate(answer)))


def next_shares(model: Any, ids: Sequence[int]) -> torch.Tensor:
    with torch.no_grad():
        shares: torch.Tensor = model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
    return shares
