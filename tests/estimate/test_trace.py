"""A step on tensors without contents counts what a real step allocates."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from loraflow.config import QuantizationConfig
from loraflow.estimate.depth import trace_all
from loraflow.estimate.shapes import Training, build_model, layers_of, training_of
from loraflow.estimate.step import ACTIVATIONS, BACKWARD, trace_step
from loraflow.estimate.trace import traced
from loraflow.model.adapter import attach_adapter
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel
from loraflow.train.attention import use_packed_attention
from loraflow.train.loss import answer_losses
from loraflow.train.packing import pack
from tests.conftest import composed

LENGTH, ROWS = 96, 3


def training(base: BaseModel, *overrides: str) -> Training:
    config = composed(
        f"train.max_length={LENGTH}",
        f"train.per_device_train_batch_size={ROWS}",
        "train.gradient_accumulation_steps=1",
        *overrides,
    )
    return training_of(base, config.adapter, config.train)


def worst(peaks: dict[str, dict[str, int]]) -> int:
    return max(sum(parts.values()) for parts in peaks.values())


def measured_peak(model: Any) -> int:
    """Return the bytes that torch holds at most, beside the model, while it trains a batch."""
    row = list(range(LENGTH))
    batch = pack([(row, row)] * ROWS)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        losses, _ = answer_losses(model, batch)
        losses.mean().backward()  # type: ignore[no-untyped-call]
    held = most = 0
    events = [
        event for event in profiled.profiler.kineto_results.events() if event.name() == "[memory]"
    ]
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


@pytest.mark.parametrize("method", ["lora", "ia3", "full"])
def test_the_peak_is_that_of_a_real_step(method: str, tiny_base: BaseModel) -> None:
    found = training(tiny_base, f"adapter={method}", "quantization=none")
    model = attach_adapter(load_base(tiny_base), found.adapter, task="sft", seed=0).train()
    assert use_packed_attention(model, [list(range(9)), list(range(7))], dtype=torch.float32)
    assert worst(trace_all(build_model(found), found)) == pytest.approx(
        measured_peak(model), rel=0.05
    )


def test_few_layers_extend_to_all(tiny_base: BaseModel) -> None:
    found = training(tiny_base, "train.optim=sgd")
    found.architecture.num_hidden_layers = 7
    found.architecture.layer_types = None
    whole = build_model(found)
    name, layers = layers_of(whole.get_base_model())
    assert len(layers) == 7
    peaks = trace_all(build_model(found), found)
    assert worst(peaks) == pytest.approx(worst(trace_step(whole, found, name)), rel=0.01)


def test_layers_of_several_kinds_extend_to_all(tiny_base: BaseModel) -> None:
    found = training(tiny_base, "adapter.layers_to_transform=[0,1,2]")
    found.architecture.num_hidden_layers = 8
    found.architecture.layer_types = None
    whole = build_model(found)
    name, _ = layers_of(whole.get_base_model())
    peaks = trace_all(build_model(found), found)
    assert worst(peaks) == pytest.approx(worst(trace_step(whole, found, name)), rel=0.02)


def test_computing_activations_twice_keeps_fewer(tiny_base: BaseModel) -> None:
    found = training(tiny_base)
    kept, twice = (
        trace_all(build_model(one), one)[BACKWARD][ACTIVATIONS]
        for one in (found, replace(found, checkpointing=True))
    )
    assert twice < kept / 2


def test_a_gpu_keeps_no_weights_of_attention(tiny_base: BaseModel) -> None:
    half = QuantizationConfig("none", False, "bfloat16")
    found = training(replace(tiny_base, quantization=half))
    weights = 2 * ROWS * 4 * LENGTH**2 * 2  # layers, rows, heads, and bytes of bfloat16
    on_cpu, on_gpu = (
        trace_all(build_model(one), one)[BACKWARD][ACTIVATIONS]
        for one in (found, replace(found, on_gpu=True))
    )
    assert on_cpu - on_gpu > weights / 2  # the kernel keeps its output, and a sum a token


def test_what_two_tensors_share_counts_once_and_only_while_it_lives() -> None:
    model = nn.Linear(8, 8, device="meta")
    with traced(model) as ledger, torch.no_grad():
        ledger.phase = "first"
        made = model(torch.empty(4, 8))
        view = made.T
        del made
        ledger.phase = "second"
        _ = view + 1
    assert ledger.peaks["first"] == {"first": (4 * 8 + 4 * 8) * 4}  # inputs and outputs
    assert ledger.peaks["second"] == {"first": 4 * 8 * 4, "second": 4 * 8 * 4}
