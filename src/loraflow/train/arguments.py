"""Translates the section `train` into the arguments of transformers' trainers."""

from typing import Any

import torch

from loraflow.config import TrainConfig
from loraflow.train.job import Job


def training_arguments(job: Job, dtype: torch.dtype, *, checkpointing: bool) -> dict[str, Any]:
    """Return what SFTConfig, DPOConfig and TrainingArguments all take.

    What users do not tune is fixed here. `dtype` is that of matrix products; `checkpointing` says
    whether activations are computed twice to save memory.
    """
    train: TrainConfig = job.settings
    cuda = torch.cuda.is_available()
    return {
        "output_dir": str(job.work / "trainer"),
        "num_train_epochs": train.num_train_epochs,
        "max_steps": train.max_steps or -1,
        "per_device_train_batch_size": train.per_device_train_batch_size,
        "per_device_eval_batch_size": train.per_device_train_batch_size,
        "gradient_accumulation_steps": train.gradient_accumulation_steps,
        "learning_rate": train.learning_rate,
        "lr_scheduler_type": train.lr_scheduler_type,
        "warmup_steps": train.warmup_steps,
        "weight_decay": train.weight_decay,
        "max_grad_norm": train.max_grad_norm,
        "optim": train.optim,
        "bf16": dtype == torch.bfloat16,
        "fp16": dtype == torch.float16,
        "use_cpu": not cuda,
        "dataloader_pin_memory": cuda,
        "activation_checkpointing": checkpointing,
        "activation_checkpointing_kwargs": {"use_reentrant": False} if checkpointing else None,
        "use_liger_kernel": train.speed.liger,
        "seed": train.seed,
        "data_seed": train.seed,
        "remove_unused_columns": False,  # ids travel with the rows
        "save_strategy": "no" if train.accelerate else "steps",  # sharded weights are not saved
        "save_steps": train.checkpoint.steps,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,  # a diverged step is shown as it is, not as 0
        "report_to": [],
        "disable_tqdm": True,  # loraflow.train.report draws the bar
        **_of_accelerate(train),
    }


def hold_to_one_gpu(arguments: Any) -> Any:
    """Return the trainer's `arguments`, for one GPU in this process, however many it sees."""
    if arguments.n_gpu > 1:
        # transformers would wrap the model in nn.DataParallel, which TRL refuses and which makes
        # each batch as many times larger; its Trainer sets this itself for a model on several GPUs
        arguments._n_gpu = 1
    return arguments


def _of_accelerate(train: TrainConfig) -> dict[str, Any]:
    """FSDP and DeepSpeed take their settings under transformers' own names."""
    sharding: dict[str, Any] = {str(name): value for name, value in train.accelerate.items()}
    return {"ddp_find_unused_parameters": False, **sharding}
