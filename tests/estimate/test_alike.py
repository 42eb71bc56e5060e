"""What two trainings take is worked out once where nothing that it follows from differs."""

from dataclasses import replace

import pytest

from loraflow.estimate import memory
from loraflow.estimate.memory import estimate_training
from loraflow.estimate.shapes import Training, build_model, training_of
from loraflow.model.source import BaseModel
from tests.conftest import composed


def test_trials_that_differ_in_rate_or_seed_are_estimated_once(
    tiny_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def build(training: Training) -> object:
        built.append(training)
        return build_model(training)

    monkeypatch.setattr(memory, "build_model", build)
    config = composed("train.max_length=77", "quantization=none")
    base = replace(tiny_base, quantization=config.quantization)
    other = replace(config.train, learning_rate=0.5, seed=7)
    longer = replace(config.train, max_length=78)
    first, same, more = (
        estimate_training(training_of(base, config.adapter, settings), on_gpu=False)
        for settings in (config.train, other, longer)
    )
    assert len(built) == 2
    assert first == same
    assert more.total_gib > first.total_gib
