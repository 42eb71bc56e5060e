"""TRL's SFTTrainer with a loss at learned positions and without its extra work."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from trl import SFTConfig, SFTTrainer

from loraflow.config import TrainConfig
from loraflow.train.loss import answer_losses


class AnswerTrainer(SFTTrainer):  # type: ignore[misc]  # TRL comes without types
    """Learns the labelled tokens and counts the tokens that it reads."""

    tokens_read = 0  # without padding
    model_accepts_loss_kwargs = True  # the trainer then counts the learned tokens of a whole step

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return the mean loss of the learned tokens over all micro-batches of the step."""
        with self.accelerator.autocast():  # the adapter stays in float32, its products do not
            losses, _ = answer_losses(self.accelerator.unwrap_model(model), inputs)
        self.tokens_read += int(inputs["attention_mask"].sum())
        count = losses.numel() if num_items_in_batch is None else num_items_in_batch
        return losses.sum() / count


def sft_arguments(train: TrainConfig, *, dtype: torch.dtype, folder: Path) -> SFTConfig:
    """Translate the section into TRL's arguments; what users do not tune is fixed here."""
    arguments = SFTConfig(
        output_dir=str(folder),
        num_train_epochs=train.num_train_epochs,
        max_steps=train.max_steps or -1,
        per_device_train_batch_size=train.per_device_train_batch_size,
        gradient_accumulation_steps=train.gradient_accumulation_steps,
        learning_rate=train.learning_rate,
        lr_scheduler_type=train.lr_scheduler_type,
        warmup_steps=train.warmup_steps,
        weight_decay=train.weight_decay,
        max_grad_norm=train.max_grad_norm,
        optim=train.optim,
        max_length=None,  # rows come tokenized and cut to train.max_length
        train_sampling_strategy="group_by_length",  # rows of a batch are alike: little padding
        bf16=dtype == torch.bfloat16,
        fp16=dtype == torch.float16,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        activation_checkpointing=False,
        seed=train.seed,
        data_seed=train.seed,
        save_strategy="no",  # the stage saves once, whole
        logging_steps=1,
        logging_nan_inf_filter=False,  # a diverged step is shown as it is, not as 0
        report_to=[],
        disable_tqdm=True,  # loraflow.train.report draws the bar
    )
    if arguments.n_gpu > 1:  # without a launcher the trainer would split batches, which TRL refuses
        arguments._n_gpu = 1
    return arguments
