"""TRL's SFTTrainer for answers and for raw text: packed rows, loss at learned positions only."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from trl import SFTConfig, SFTTrainer

from loraflow.model.quantize import compute_dtype
from loraflow.model.tokenizer import load_tokenizer
from loraflow.train.arguments import hold_to_one_gpu
from loraflow.train.attention import use_packed_attention
from loraflow.train.early_stopping import evaluation_arguments, split_rows
from loraflow.train.job import Job
from loraflow.train.loss import answer_losses, require_known_head, uses_model_forward
from loraflow.train.packing import pack, pad
from loraflow.train.rows import read_rows_to_train
from loraflow.train.trainer import StageTrainer, restore_values, trained_values


class AnswerTrainer(StageTrainer, SFTTrainer):  # type: ignore[misc]  # TRL comes without types
    """Learns the labelled tokens and accounts for the rows that it reads."""

    selects_positions = True

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return the mean loss of the learned tokens over all micro-batches of the step."""
        ids, lengths = inputs.pop("row_ids"), inputs.pop("row_lengths")
        if model.training:
            self.note_rows(ids, lengths)
        if not self.selects_positions:
            loss: Tensor = super().compute_loss(
                model, inputs, num_items_in_batch=num_items_in_batch
            )
            return loss
        with self.accelerator.autocast():  # the adapter stays in float32, its products do not
            losses, _ = answer_losses(self.accelerator.unwrap_model(model), inputs)
        count = losses.numel() if num_items_in_batch is None else num_items_in_batch
        return losses.sum() / count


def build_trainer(model: Any, job: Job, arguments: dict[str, Any]) -> AnswerTrainer:
    """Return the trainer for the rows of `job.tokens`.

    Raises:
        UserError: if the model's output layer is not known.
    """
    speed = job.settings.speed
    rows, apart = split_rows(read_rows_to_train(job.tokens), job.settings)
    tokenizer = load_tokenizer(job.base)
    # wrappers for several processes want the whole model's forward, which TRL has a loss for
    selects = speed.learned_positions and job.settings.processes == 1
    if selects:
        require_known_head(model)
    dtype = compute_dtype(job.base.quantization)
    packs = (
        speed.packing
        and not uses_model_forward(model)
        and use_packed_attention(model, rows[:2]["input_ids"], dtype=dtype)
    )
    start = trained_values(model)
    trainer = AnswerTrainer(
        model=model,
        args=hold_to_one_gpu(
            SFTConfig(
                **arguments,
                **evaluation_arguments(job.settings),
                max_length=None,  # rows come cut to train.max_length
                dataset_kwargs={"skip_prepare_dataset": True},  # and tokenized
            )
        ),
        train_dataset=rows,
        eval_dataset=apart,
        processing_class=tokenizer,
        data_collator=_collator(packs, tokenizer.pad_token_id),
    )
    restore_values(model, start)
    trainer.job, trainer.packs, trainer.selects_positions = job, packs, selects
    trainer.model_accepts_loss_kwargs = True  # the learned tokens of a whole step are counted
    return trainer


def _collator(packs: bool, padding: int) -> Callable[[Sequence[dict[str, Any]]], dict[str, Any]]:
    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        sequences = [(row["input_ids"], row["labels"]) for row in rows]
        batch = pack(sequences) if packs else pad(sequences, padding=padding)
        return {
            **batch,
            "row_ids": [row["id"] for row in rows],
            "row_lengths": [len(row["input_ids"]) for row in rows],
        }

    return collate
