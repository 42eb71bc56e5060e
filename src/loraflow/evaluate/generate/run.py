"""Answers prompts, shows how far it is, and goes on where an earlier process was killed."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from loraflow.evaluate.generate.decode import decode
from loraflow.evaluate.generate.forward import answering
from loraflow.evaluate.generate.padded import generate_padded
from loraflow.evaluate.generate.prompt import Answer, Prompt
from loraflow.evaluate.journal import Journal
from loraflow.model.load import CausalLM
from loraflow.model.tokenizer import Tokenizer
from loraflow.progress import progress

_ROOM = 2 * 2**30  # bytes of keys and values


@dataclass(frozen=True)
class Speed:
    """How fast answers were written by this process; what a journal gave is not counted."""

    tokens: int
    seconds: float
    at_once: int  # answers that were written side by side

    @property
    def tokens_per_second(self) -> float:
        """Of all answers together; 0 if none was written."""
        return self.tokens / self.seconds if self.seconds else 0.0

    @property
    def seconds_per_token(self) -> float:
        """Between two tokens of an answer, the time to read prompts spread over all."""
        return self.seconds * self.at_once / self.tokens if self.tokens else 0.0


def generate_answers(
    model: CausalLM,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    *,
    batch_size: int,
    stop: Sequence[int],
    journal: Journal,
) -> tuple[list[Answer], Speed]:
    """Return one answer for each prompt, in the order of the prompts, and how fast that was.

    An answer depends on its own prompt alone, and on how many are written at once (`count_slots`).
    """
    started, written = time.perf_counter(), 0
    slots = count_slots(model, prompts, batch_size)  # of all: going on changes no product
    missing = [prompt for prompt in prompts if prompt.key not in journal.done]
    with progress("answer", len(prompts), "answers") as bar:
        bar.update(len(prompts) - len(missing))
        for place, tokens in _write(model, tokenizer, missing, slots, stop):
            text = tokenizer.decode(tokens, skip_special_tokens=True).strip()
            answer = Answer(text, ended=tokens[-1] in stop, tokens=len(tokens))
            journal.add(missing[place].key, asdict(answer))
            written += len(tokens)
            bar.update()
            bar.set_postfix_str(f"{written / (time.perf_counter() - started):.0f} tokens/s", False)
    answers = [Answer(**journal.done[prompt.key]) for prompt in prompts]
    seconds = time.perf_counter() - started if missing else 0.0
    return answers, Speed(written, seconds, min(slots, len(missing)))


def count_slots(model: CausalLM, prompts: Sequence[Prompt], batch_size: int) -> int:
    """Return how many answers to all these prompts are written at once.

    At most `batch_size`, no more than have room for their keys and values, and no more than share
    out evenly: of 48 prompts and 32 slots, 24 twice.
    """
    if not prompts:
        return 1
    longest = max(len(prompt.ids) + prompt.max_new_tokens for prompt in prompts)
    most = max(1, min(batch_size, int(_ROOM / (longest * _bytes_per_token(model)))))
    waves = math.ceil(len(prompts) / most)
    return math.ceil(len(prompts) / waves)


def _bytes_per_token(model: CausalLM) -> int:
    """Return the bytes of the keys and values of one token."""
    config = model.config.get_text_config()
    heads: int = config.num_attention_heads
    width: int = getattr(config, "head_dim", None) or config.hidden_size // heads
    groups: int = getattr(config, "num_key_value_heads", None) or heads
    layers: int = config.num_hidden_layers
    return 2 * layers * groups * width * int(model.dtype.itemsize)


def _write(
    model: CausalLM,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    slots: int,
    stop: Sequence[int],
) -> Iterator[tuple[int, list[int]]]:
    """Yield the places of prompts and the tokens of their answers, as they are finished."""
    if not prompts:
        return
    with answering(model) as in_slots:
        if in_slots:
            for writing in decode(model, prompts, slots=slots, stop=stop):
                yield writing.place, writing.tokens
    if not in_slots:
        yield from generate_padded(model, tokenizer, prompts, batch_size=slots, stop=stop)
