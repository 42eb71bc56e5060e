"""Runs that have logged an adapter of the tiny model and their config, as an experiment does."""

from dataclasses import replace
from pathlib import Path

import torch
from mlflow import MlflowClient
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM

from loraflow.check import dump_config
from loraflow.config import Config, TrackingConfig
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from loraflow.promote.registry.version import Version
from loraflow.store import make_key
from loraflow.tracking.result import REVISION_TAG, _log_trained
from loraflow.tracking.run import open_run
from tests.conftest import composed
from tests.promote.registered import Night
from tests.serve.made_adapters import make_adapter


def settings_of(base: BaseModel, *overrides: str) -> Config:
    return composed(
        "model=folder", f"model.location={base.folder}", "quantization=none", *overrides
    )


def log_run(
    tracking: TrackingConfig, base: BaseModel, out: Path, seed: int, *overrides: str
) -> Night:
    """Make an adapter and log it with a config, and the revision of its base."""
    make_adapter(base, out / "adapter", seed)
    return Night(_log(tracking, base, out, seed, *overrides), out / "adapter")


def log_whole_model(tracking: TrackingConfig, base: BaseModel, out: Path) -> Night:
    """Log a model whose weights were all trained."""
    AutoModelForCausalLM.from_pretrained(base.folder).save_pretrained(out / "model")
    return Night(_log(tracking, base, out, 0, "adapter=full"), out / "model")


def _log(tracking: TrackingConfig, base: BaseModel, out: Path, seed: int, *overrides: str) -> str:
    torch.manual_seed(seed)
    with open_run(tracking, make_key("night", 1, seed=seed), name=f"night {seed}", data="d") as run:
        _log_trained(run, {"adapter.r": "2"}, out, base)
        run.recorded = True
    client = MlflowClient(tracking.uri)
    client.set_tag(run.id, REVISION_TAG, base.revision)
    settings = replace(settings_of(base, *overrides), tracking=tracking)
    client.log_text(
        run.id, OmegaConf.to_yaml(OmegaConf.create(dump_config(settings))), "config.yaml"
    )
    return run.id


def promote(registry: Registry, night: Night) -> Version:
    version = registry.register(night.run_id, night.adapter, {"data": "d"})
    return registry.promote(version, by="test", reason="better")
