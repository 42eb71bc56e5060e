"""The part of a classifier that sits on top of the base, and is trained whatever the method."""

from typing import Any

from torch import nn


def head_of(model: Any) -> list[str]:
    """Name the modules of a classifier's head; nothing for a model that predicts tokens.

    Encoders that were pre-trained without one get a new pooler inside their body. It serves the
    head alone, so it counts as a part of it.
    """
    if model.get_output_embeddings() is not None:
        return []
    body = model.base_model_prefix
    names = [
        name for name, module in model.named_children() if name != body and _has_weights(module)
    ]
    pooler = getattr(getattr(model, body), "pooler", None)
    return names if pooler is None else [f"{body}.pooler", *names]


def train_head(model: Any) -> None:
    """Train the head, in float32."""
    for name in head_of(model):
        model.get_submodule(name).float().requires_grad_(True)


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None
