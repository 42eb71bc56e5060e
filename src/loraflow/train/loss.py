"""Cross-entropy at learned positions only: elsewhere the output layer is not computed."""

from typing import Any

import torch
import torch.nn.functional as F

from loraflow.data.template import IGNORED
from loraflow.errors import UserError


def answer_losses(model: Any, batch: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the loss of every learned token, in nats, and the row of the batch that it is in.

    Exact: selecting positions before the output layer gives the same numbers as computing all
    logits and masking. With a 49,000-word vocabulary and answers a fifth of the text it saves a
    third of a training step on a CPU.

    Args:
        model: a causal language model, with or without a PEFT adapter
        batch: input_ids, attention_mask and labels, each (rows, tokens)

    Returns:
        losses and row numbers, both (learned tokens,)
    """
    causal_lm = model.get_base_model() if hasattr(model, "get_base_model") else model
    hidden = causal_lm.base_model(
        input_ids=batch["input_ids"], attention_mask=batch["attention_mask"], use_cache=False
    ).last_hidden_state  # (rows, tokens, width)
    targets = batch["labels"][:, 1:]  # the state at t predicts the token at t + 1
    learned = targets != IGNORED
    logits = _logits(causal_lm, hidden[:, :-1][learned])  # (learned, vocabulary)
    losses = F.cross_entropy(logits.float(), targets[learned], reduction="none")
    rows = learned.nonzero()[:, 0]
    return losses, rows


def require_known_head(model: Any) -> None:
    """Compare our logits with the model's own on a few tokens.

    Raises:
        UserError: if they differ: the model does something behind its output layer that is not
            repeated here, and every loss would be wrong.
    """
    causal_lm = model.get_base_model() if hasattr(model, "get_base_model") else model
    ids = torch.arange(8, device=model.device)[None]
    training = model.training
    model.eval()
    with torch.no_grad():
        hidden = causal_lm.base_model(input_ids=ids, use_cache=False).last_hidden_state
        ours, theirs = _logits(causal_lm, hidden), causal_lm(input_ids=ids, use_cache=False).logits
    model.train(training)
    off = (ours.float() - theirs.float()).abs().max()
    if off > 0.01 * theirs.float().abs().max():  # bfloat16 rounds at 0.004
        raise UserError(
            f"the output layer of {type(causal_lm).__name__} is not known, so its loss would be "
            "wrong; choose another model"
        )


def _logits(causal_lm: Any, hidden: torch.Tensor) -> torch.Tensor:
    """Apply the output layer and what the model's config says comes behind it."""
    config = causal_lm.config.get_text_config()
    logits: torch.Tensor = causal_lm.get_output_embeddings()(hidden)
    if divisor := getattr(config, "logits_scaling", None):  # Granite
        logits = logits / divisor
    if factor := getattr(config, "logit_scale", None):  # Cohere
        logits = logits * factor
    if limit := getattr(config, "final_logit_softcapping", None):  # Gemma 2, arXiv:2408.00118
        logits = torch.tanh(logits / limit) * limit
    return logits
