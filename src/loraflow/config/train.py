"""Training: steps, speed, and when it is stopped."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.config.values import STRICT, PositiveFloat, PositiveInt, Seed

Sharding = Literal["fsdp", "fsdp_config", "deepspeed"]  # names of TrainingArguments


@dataclass(frozen=True, config=STRICT)
class SpeedConfig:
    """What makes training fast; each can be switched off, and none changes what is learned."""

    packing: bool  # rows of a batch end to end instead of padded, attention inside each row
    learned_positions: bool  # the output layer and its loss only where something is learned
    keep_dequantized: Literal["auto"] | bool  # unpack a quantized base once; auto: if it fits
    activation_checkpointing: Literal["auto"] | bool  # auto: only if memory is short
    keep_memory: bool  # the allocator keeps large buffers between steps (glibc)
    threads: PositiveInt | None  # of matrix products on a CPU; null: one a physical core
    liger: bool  # Liger's fused kernels, on a GPU that has them


@dataclass(frozen=True, config=STRICT)
class CheckpointConfig:
    """What is kept of a training that is interrupted."""

    steps: PositiveInt  # optimizer steps from one checkpoint to the next
    keep: PositiveInt  # newest checkpoints that are kept


@dataclass(frozen=True, config=STRICT)
class DivergenceConfig:
    """When a training is stopped because it goes wrong."""

    spike: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None  # times the usual loss
    window: PositiveInt  # steps that say what is usual
    retries: Annotated[int, Field(ge=0, strict=True)]  # from a checkpoint, with half the rate


@dataclass(frozen=True, config=STRICT)
class EarlyStoppingConfig:
    """Ends a training whose loss on rows apart no longer falls."""

    rows: PositiveInt  # training rows put apart for it; held-out rows are left for the evaluation
    steps: PositiveInt  # optimizer steps from one look to the next
    patience: PositiveInt  # looks without a better loss


@dataclass(frozen=True, config=STRICT)
class PreferenceConfig:
    """Direct preference optimization (arXiv:2305.18290); the reference is the adapter's start."""

    beta: PositiveFloat  # how much a change from the reference costs
    loss_type: Literal["sigmoid", "hinge", "ipo"]


ANSWERED = ("sft", "preference")  # tasks whose models answer prompts


@dataclass(frozen=True, config=STRICT)
class TrainConfig:
    """Training; names and meanings are those of transformers' TrainingArguments."""

    task: Literal["sft", "text", "preference", "classify"]
    max_length: Annotated[int, Field(ge=8, strict=True)]  # tokens of prompt and answer
    truncation: Literal["drop", "cut_prompt", "cut_answer", "proportional", "windows"]
    num_train_epochs: PositiveFloat
    max_steps: PositiveInt | None  # wins over num_train_epochs
    per_device_train_batch_size: PositiveInt
    gradient_accumulation_steps: PositiveInt
    learning_rate: PositiveFloat
    loraplus_lr_ratio: PositiveFloat | None  # learning rate of B over that of A (arXiv:2402.12354)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"]
    warmup_steps: Annotated[int, Field(ge=0, strict=True)]
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    max_grad_norm: PositiveFloat
    optim: Literal[
        "adamw_torch",
        "adamw_8bit",
        "paged_adamw_8bit",
        "paged_adamw_32bit",
        "lion_8bit",
        "paged_lion_32bit",
        "adafactor",
        "sgd",
    ]
    progressive: list[PositiveFloat] | None  # shares of the steps: lowest layers first, then up
    seed: Seed  # of the adapter's first values, the order of rows, and dropout
    preference: PreferenceConfig
    speed: SpeedConfig
    checkpoint: CheckpointConfig
    divergence: DivergenceConfig
    early_stopping: EarlyStoppingConfig | None
    processes: PositiveInt  # that train together, each on its share of every batch
    accelerate: dict[Sharding, Any]  # how they share one model, instead of each holding it
