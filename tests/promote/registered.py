"""Runs that have logged an adapter of the tiny model, for a registry to take them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

from loraflow.config import TrackingConfig
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from loraflow.promote.registry.version import Version
from loraflow.store import make_key
from loraflow.tracking.result import _log_trained
from loraflow.tracking.run import open_run

DECISION: dict[str, Any] = {
    "promote": True,
    "metric": "rougeL",
    "margin": 0.01,
    "items": 200,
    "gate": "9f" * 32,
    "champion": {"value": 0.238, "low": 0.210, "high": 0.266},
    "challenger": {"value": 0.269, "low": 0.231, "high": 0.310},
    "difference": {"mean": 0.031, "low": 0.012, "high": 0.050},
    "reference": "base model",
    "guards": [
        {"name": "length", "passed": True, "words": "as long as before", "values": {}},
        {"name": "refusals", "passed": True, "words": "0%", "values": {}},
    ],
    "sentence": "Promoted: better by 0.031 (0.012 to 0.050), 更好",
}


@dataclass(frozen=True)
class Night:
    """A run and the adapter that it has logged."""

    run_id: str
    adapter: Path


def tracking_in(folder: Path) -> TrackingConfig:
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    return TrackingConfig(uri, str(folder / "artifacts"), "nights", "http://127.0.0.1:5000")


def train_night(tracking: TrackingConfig, base: BaseModel, out: Path, seed: int) -> Night:
    """Make an adapter with PEFT and log it the way an experiment does."""
    torch.manual_seed(seed)
    model = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base.folder),
        LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False),
    )
    model.save_pretrained(out / "adapter")
    with open_run(tracking, make_key("night", 1, seed=seed), name=f"night {seed}", data="d") as run:
        _log_trained(run, {"adapter.r": "2"}, out, base)
        run.recorded = True
    return Night(run.id, out / "adapter")


def register(registry: Registry, night: Night) -> Version:
    return registry.register(night.run_id, night.adapter, {"data": "d"})


def loads(registry: Registry, version: Version, base: BaseModel, out: Path) -> bool:
    """Fetch a version's adapter and put it on the model."""
    model = AutoModelForCausalLM.from_pretrained(base.folder)
    return isinstance(PeftModel.from_pretrained(model, registry.fetch(version, out)), PeftModel)


def places(registry: Registry) -> tuple[int | None, int | None, int | None]:
    """Return the numbers of champion, previous and challenger."""
    found = (registry.champion(), registry.previous(), registry.challenger())
    first, second, third = (None if version is None else version.number for version in found)
    return first, second, third
