"""Cross-entropy at learned positions only: elsewhere the output layer is not computed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.utils.checkpoint import checkpoint

from loraflow.data.template import IGNORED
from loraflow.errors import UserError
from loraflow.train.packing import learned_rows

_CHUNK = 1024  # learned positions whose logits are held at once


def answer_losses(model: Any, batch: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """Return the loss of every learned token, in nats, and the row of the batch that it is in.

    Exact: selecting positions before the output layer gives the same numbers as computing all
    logits and masking. Logits exist for a chunk of positions at a time.

    Args:
        model: a causal language model, with or without a PEFT adapter
        batch: input_ids and labels, each (rows, tokens), with attention_mask if they are padded,
            or as `packing.pack` makes them

    Returns:
        losses and row numbers, both (learned tokens,)
    """
    targets = batch["labels"][:, 1:]  # the state at t predicts the token at t + 1
    learned = targets != IGNORED
    if _prepends_tokens(model):
        logits = _own_logits(model, batch)[:, :-1][learned]
        return F.cross_entropy(logits.float(), targets[learned], reduction="none"), learned_rows(
            batch
        )
    causal_lm = _inside(model)
    hidden = causal_lm.base_model(**_inputs(batch), use_cache=False).last_hidden_state
    chunks = zip(hidden[:, :-1][learned].split(_CHUNK), targets[learned].split(_CHUNK), strict=True)
    losses = [_chunk_losses(causal_lm, *chunk) for chunk in chunks]
    return torch.cat(losses) if losses else hidden.new_zeros(0), learned_rows(batch)


def learned_logits(model: Any, batch: dict[str, Any]) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits, (positions, vocabulary), and targets of the learned positions, in chunks.

    In the order of `learned_rows`; for measuring, without gradients. `model` and `batch` are as
    `answer_losses` has them.
    """
    targets = batch["labels"][:, 1:]
    learned = targets != IGNORED
    if _prepends_tokens(model):
        yield _own_logits(model, batch)[:, :-1][learned], targets[learned]
        return
    causal_lm = _inside(model)
    hidden = causal_lm.base_model(**_inputs(batch), use_cache=False).last_hidden_state
    chunks = zip(hidden[:, :-1][learned].split(_CHUNK), targets[learned].split(_CHUNK), strict=True)
    for states, wanted in chunks:
        yield output_logits(causal_lm, states), wanted


def require_known_head(model: Any) -> None:
    """Compare our logits with the model's own on a few tokens.

    Raises:
        UserError: if they differ: the model does something behind its output layer that is not
            repeated here, and every loss would be wrong.
    """
    if _prepends_tokens(model):
        return  # its own logits are used
    causal_lm = _inside(model)
    ids = torch.arange(8, device=model.device)[None]
    with _evaluating(model):
        hidden = causal_lm.base_model(input_ids=ids, use_cache=False).last_hidden_state
        ours = output_logits(causal_lm, hidden)
        theirs = causal_lm(input_ids=ids, use_cache=False).logits
    off = (ours.float() - theirs.float()).abs().max()
    if off > 0.01 * theirs.float().abs().max():  # bfloat16 rounds at 0.004
        raise UserError(
            f"the output layer of {type(causal_lm).__name__} is not known, so its loss would be "
            "wrong; choose another model"
        )


def uses_model_forward(model: Any) -> bool:
    """Tell whether the losses come from the whole model's forward, not from its decoder alone."""
    return _prepends_tokens(model)


def _inside(model: Any) -> Any:
    """Return the causal language model inside an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _inputs(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in batch.items() if name != "labels"}


def _prepends_tokens(model: Any) -> bool:
    """Tell whether an adapter puts learned vectors before the text, outside of the decoder."""
    config = getattr(model, "active_peft_config", None)
    return bool(config is not None and config.is_prompt_learning)


def _own_logits(model: Any, batch: dict[str, Any]) -> Tensor:
    """Return the logits of the text's tokens: (rows, tokens, vocabulary)."""
    logits: Tensor = model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    ).logits
    return logits[:, -batch["input_ids"].shape[1] :]


def _chunk_losses(causal_lm: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    """Return the losses of a chunk of positions, of which no logits stay in memory."""
    if any(weight.requires_grad for weight in causal_lm.get_output_embeddings().parameters()):
        losses: Tensor = checkpoint(_losses, causal_lm, hidden, targets, use_reentrant=False)
        return losses
    if not torch.is_grad_enabled():
        return _losses(causal_lm, hidden, targets)
    return _FrozenHeadLoss.apply(hidden, causal_lm, targets)  # type: ignore[no-any-return,no-untyped-call]


def _losses(causal_lm: Any, hidden: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(output_logits(causal_lm, hidden).float(), targets, reduction="none")


class _FrozenHeadLoss(torch.autograd.Function):
    """Losses behind a frozen output layer, with the gradient taken while the logits are there.

    The gradient by the hidden state is as large as the state, the logits are as large as the
    vocabulary: so the former is kept for the backward pass and the latter is let go.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, hidden: Tensor, causal_lm: Any, targets: Tensor) -> Tensor:
        with torch.enable_grad():
            leaf = hidden.detach().requires_grad_()
            losses = _losses(causal_lm, leaf, targets)
            (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        ctx.save_for_backward(gradient)
        return losses.detach()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return (gradient * upstream[0][:, None]).to(gradient.dtype), None, None


def output_logits(causal_lm: Any, hidden: Tensor) -> Tensor:
    """Apply the output layer and what the model's config says comes behind it."""
    config = causal_lm.config.get_text_config()
    logits: Tensor = causal_lm.get_output_embeddings()(hidden)
    if divisor := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / divisor
    if factor := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * factor
    if limit := getattr(config, "final_logit_softcapping", None):  # Gemma 2, arXiv:2408.00118
        logits = torch.tanh(logits / limit) * limit
    return logits


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()
    with torch.no_grad():
        yield
    model.train(training)
