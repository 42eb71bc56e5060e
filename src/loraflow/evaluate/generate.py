"""Answers prompts greedily, in batches of like length."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from loraflow.model.load import CausalLM
from loraflow.model.tokenizer import Tokenizer
from loraflow.progress import progress


@dataclass(frozen=True)
class Answer:
    """What a model wrote."""

    text: str
    ended: bool  # by itself; else it was cut at max_new_tokens


def generate_answers(
    model: CausalLM,
    tokenizer: Tokenizer,
    prompts: Sequence[list[int]],
    *,
    max_new_tokens: int,
    batch_size: int,
    stop: list[int],
) -> list[Answer]:
    """Return one answer for each prompt (token ids), in the order of the prompts."""
    answers = [Answer("", ended=False)] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    with progress("answer", len(prompts), "answers") as bar:
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            written = _generate(
                model, tokenizer, [prompts[index] for index in batch], max_new_tokens, stop
            )
            for index, answer in zip(batch, written, strict=True):
                answers[index] = answer
            bar.update(len(batch))
    return answers


def _generate(
    model: CausalLM,
    tokenizer: Tokenizer,
    prompts: list[list[int]],
    max_new_tokens: int,
    stop: list[int],
) -> list[Answer]:
    inputs = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
    with torch.inference_mode():
        output = model.generate(
            **inputs.to(model.device),
            max_new_tokens=max_new_tokens,
            do_sample=False,
            eos_token_id=stop,
            pad_token_id=tokenizer.pad_token_id,
        )
    written = output[:, inputs["input_ids"].shape[1] :]
    texts = tokenizer.batch_decode(written, skip_special_tokens=True)
    ended = torch.isin(written.cpu(), torch.tensor(stop)).any(dim=1).tolist()
    return [Answer(text.strip(), ended=end) for text, end in zip(texts, ended, strict=True)]
