"""Tiny bases in every quantization, and the few steps that tests of ways to train take on them."""

from functools import cache
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from peft import PeftModel
from pydantic import TypeAdapter
from torch import Tensor

from flows.command import CONF, to_settings
from loraflow.config import AdapterConfig, QuantizationConfig
from loraflow.model.adapter import attach_adapter
from loraflow.model.initialise import initialise_eva
from loraflow.model.load import load_base, load_classifier
from loraflow.model.source import BaseModel

LABELS = ["bad", "good", "mixed"]
IDS = torch.arange(36).reshape(3, 12) + 20
MASK = torch.ones_like(IDS)
ROWS = [[20 + (place * shift) % 300 for place in range(8 + shift)] for shift in range(1, 9)]
CLASSES = torch.tensor([0, 1, 2])


@cache
def adapter(*overrides: str) -> AdapterConfig:
    """Return the section that a command line gives, whatever the other sections say."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = to_settings(compose("config", overrides=list(overrides)))
    return TypeAdapter(AdapterConfig).validate_python(settings["adapter"])


def held(folder: Path, method: Any, compute_dtype: Any = "float32") -> BaseModel:
    """Return the model in `folder`, held as `quantization.method` says."""
    quantization = QuantizationConfig(method, method in ("nf4", "fp4"), compute_dtype)
    return BaseModel("tiny", folder, "0", False, quantization)


def attach(base: BaseModel, chosen: AdapterConfig, task: str = "sft", **more: Any) -> Any:
    """Load and attach as the stage does."""
    model = attach_adapter(load(base, task), chosen, task=task, seed=0, total_steps=6, **more)
    if chosen.init_lora_weights == "eva":
        initialise_eva(model, ROWS)
    return model


def load(base: BaseModel, task: str = "sft") -> Any:
    return load_classifier(base, LABELS, seed=0) if task == "classify" else load_base(base)


def reload(base: BaseModel, folder: Path, task: str = "sft") -> Any:
    return PeftModel.from_pretrained(load(base, task), folder).eval()


def logits(model: Any) -> Tensor:
    """Return the logits of the text's own tokens, without gradients."""
    model.eval()
    with torch.no_grad():
        found: Tensor = model(input_ids=IDS, attention_mask=MASK).logits
    model.train()
    return found[:, -IDS.shape[1] :] if found.dim() == 3 else found


def loss_of(model: Any, task: str = "sft") -> Tensor:
    """Return the model's own loss, without what AdaLoRA adds to it."""
    found = model(input_ids=IDS, attention_mask=MASK).logits.float()
    if task == "classify":
        return torch.nn.functional.cross_entropy(found, CLASSES)
    found = found[:, -IDS.shape[1] : -1]
    return torch.nn.functional.cross_entropy(found.flatten(0, 1), IDS[:, 1:].flatten())


def trained(model: Any) -> dict[str, Tensor]:
    return {name: value for name, value in model.named_parameters() if value.requires_grad}


def train(model: Any, steps: int = 3, task: str = "sft", rate: float = 0.01) -> list[float]:
    """Take steps with AdamW, weight decay included, and return the losses before each."""
    model.train()
    optimizer = torch.optim.AdamW(trained(model).values(), lr=rate, weight_decay=0.1)
    losses = []
    for _ in range(steps):
        loss = loss_of(model, task)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses
