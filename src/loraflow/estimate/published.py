"""The memory of LoRA and QLoRA on Llama models, from this project's own formula."""

from dataclasses import dataclass, replace

from transformers import LlamaConfig

from loraflow.config import AdapterConfig, QuantizationConfig, TrainConfig
from loraflow.estimate.memory import estimate_training
from loraflow.estimate.shapes import Training

_SHAPES = {  # hidden size, inner size, layers, heads of the first Llamas (arXiv:2302.13971)
    "7B": (4096, 11008, 32, 32),
    "13B": (5120, 13824, 40, 40),
    "65B": (8192, 22016, 80, 64),
}
_PUBLISHED = {"7B": ("24", "12"), "13B": ("45", "22"), "65B": ("does not fit", "46")}


@dataclass(frozen=True)
class Line:
    """A model's memory in GiB: ours, and what is often quoted."""

    model: str
    lora: float
    qlora: float
    quoted_lora: str
    quoted_qlora: str


def published_table(adapter: AdapterConfig, settings: TrainConfig) -> list[Line]:
    """Return the table for one row of `train.max_length` tokens at a time, on a GPU."""
    settings = replace(settings, per_device_train_batch_size=1)
    adapter = replace(adapter, method="lora", r=8, target_modules="attention_qv", rank_pattern={})
    lines = []
    for name, (hidden, inner, layers, heads) in _SHAPES.items():
        architecture = LlamaConfig(
            hidden_size=hidden,
            intermediate_size=inner,
            num_hidden_layers=layers,
            num_attention_heads=heads,
        )
        lora, qlora = (
            estimate_training(
                Training(architecture, held, adapter, settings, checkpointing=True), on_gpu=True
            ).total_gib
            for held in (
                QuantizationConfig("none", False, "bfloat16"),
                QuantizationConfig("nf4", True, "bfloat16"),
            )
        )
        lines.append(Line(name, lora, qlora, *_PUBLISHED[name]))
    return lines
