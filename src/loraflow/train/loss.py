"""Cross-entropy at learned positions only: elsewhere the output layer is not computed."""

from typing import Any

import torch
import torch.nn.functional as F

from loraflow.data.template import IGNORED


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
    logits = causal_lm.get_output_embeddings()(hidden[:, :-1][learned])  # (learned, vocabulary)
    losses = F.cross_entropy(logits.float(), targets[learned], reduction="none")
    rows = learned.nonzero()[:, 0]
    return losses, rows
