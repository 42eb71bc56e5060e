"""How likely a model finds each of several texts behind the same prompt, which is read once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from loraflow.data.template import IGNORED
from loraflow.evaluate.likelihood import foretell
from loraflow.model.load import CausalLM
from loraflow.progress import progress
from loraflow.train.loss import output_logits, uses_model_forward

_TOKENS = 2_048  # read at once, padding among them
_ROW = 1_024  # tokens of a row: who sees whom is a table of its square


@dataclass(frozen=True)
class Branched:
    """A prompt and what may stand behind it, as tokens."""

    prompt: list[int]
    branches: list[list[int]]


def likelihoods(model: CausalLM, asked: Sequence[Branched], what: str) -> list[list[float]]:
    """Return the log-likelihood of each branch behind its prompt, in nats.

    The branches stand behind the prompt in one row, each at the place of the first and blind to the
    others. `what` stands before the progress bar; empty shows none.
    """
    if uses_model_forward(model):  # vectors before the text: branches are read one by one
        return _one_by_one(model, asked)
    rows = [row for place, one in enumerate(asked) for row in _rows(place, one)]
    rows.sort(key=_Row.size)
    found = [[0.0] * len(one.branches) for one in asked]
    with progress(what, len(rows), "prompts", hidden=not what) as bar:
        for batch in _batches(rows):
            for row, sums in zip(batch, _measure(model, batch), strict=True):
                for branch, nats in zip(row.places, sums, strict=True):
                    found[row.of][branch] = nats
            bar.update(len(batch))
    return found


@dataclass(frozen=True)
class _Row:
    """Some branches of a prompt that are read together."""

    of: int  # place of the prompt
    places: list[int]  # of the branches
    prompt: list[int]
    branches: list[list[int]]

    def size(self) -> int:
        return len(self.prompt) + sum(map(len, self.branches))


def _rows(place: int, asked: Branched) -> Iterator[_Row]:
    """Split branches that are too many for one row."""
    row = _Row(place, [], asked.prompt, [])
    for number, branch in enumerate(asked.branches):
        if row.branches and row.size() + len(branch) > _ROW:
            yield row
            row = _Row(place, [], asked.prompt, [])
        row.places.append(number)
        row.branches.append(branch)
    yield row


def _batches(rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Group rows, which are sorted by size, up to so many tokens."""
    batch: list[_Row] = []
    for row in rows:
        if batch and row.size() * (len(batch) + 1) > _TOKENS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


@torch.inference_mode()
def _measure(model: Any, rows: Sequence[_Row]) -> list[list[float]]:
    causal_lm = model.get_base_model() if hasattr(model, "get_base_model") else model
    longest = max(row.size() for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    positions = torch.zeros_like(ids)
    seen = torch.eye(longest, dtype=torch.bool).repeat(len(rows), 1, 1)  # padding sees itself
    for number, row in enumerate(rows):
        size = row.size()
        ids[number, :size], positions[number, :size], seen[number, :size, :size] = _lay_out(row)
    hidden = torch.finfo(causal_lm.dtype).min * (~seen).to(causal_lm.dtype)
    states = causal_lm.base_model(
        input_ids=ids.to(causal_lm.device),
        position_ids=positions.to(causal_lm.device),
        attention_mask=hidden[:, None].to(causal_lm.device),
        use_cache=False,
    ).last_hidden_state
    return [_sums(causal_lm, states[number], row) for number, row in enumerate(rows)]


def _lay_out(row: _Row) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, positions and who sees whom, (tokens, tokens)."""
    start = len(row.prompt)
    ids = [*row.prompt, *(token for branch in row.branches for token in branch)]
    places = [*range(start), *(start + at for branch in row.branches for at in range(len(branch)))]
    numbers = [number for number, branch in enumerate(row.branches, 1) for _ in branch]
    part = torch.tensor([0] * start + numbers)
    seen = (part[None] == 0) | (part[None] == part[:, None])
    return torch.tensor(ids), torch.tensor(places), seen & torch.ones_like(seen).tril()


def _sums(causal_lm: Any, states: Tensor, row: _Row) -> list[float]:
    """Add up the log-likelihoods of the tokens of each branch."""
    last = len(row.prompt) - 1
    starts = [len(row.prompt) + sum(map(len, row.branches[:at])) for at in range(len(row.branches))]
    before = [
        place
        for start, branch in zip(starts, row.branches, strict=True)
        for place in ([last, *range(start, start + len(branch) - 1)] if branch else [])
    ]
    if not before:
        return [0.0] * len(row.branches)
    wanted = torch.tensor([token for branch in row.branches for token in branch])
    logs = output_logits(causal_lm, states[before]).float().log_softmax(dim=-1)
    nats = logs.gather(1, wanted[:, None].to(logs.device))[:, 0].double().cpu()
    parts = torch.split(nats, [len(branch) for branch in row.branches])
    return [float(part.sum()) for part in parts]


def _one_by_one(model: CausalLM, asked: Sequence[Branched]) -> list[list[float]]:
    examples = [
        {"input_ids": [*row.prompt, *branch], "labels": [IGNORED] * len(row.prompt) + branch}
        for row in asked
        for branch in row.branches
    ]
    nats = iter(one.nats for one in foretell(model, examples, batch_size=8))
    return [[-next(nats) for _ in row.branches] for row in asked]
