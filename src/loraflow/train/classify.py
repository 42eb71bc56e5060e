"""transformers' Trainer for labelled texts: padded batches of like lengths, loss on the head."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import Trainer, TrainingArguments

from loraflow.data.encode.labels import read_labels
from loraflow.model.tokenizer import load_tokenizer
from loraflow.train.arguments import hold_to_one_gpu
from loraflow.train.early_stopping import evaluation_arguments, split_rows
from loraflow.train.job import Job
from loraflow.train.packing import pad
from loraflow.train.rows import read_rows_to_train
from loraflow.train.trainer import StageTrainer


class LabelTrainer(StageTrainer, Trainer):  # type: ignore[misc]  # transformers comes without types
    """Learns the label of a text; encoders and decoders alike."""

    loss_is_scaled_for_ga = False  # a micro-batch's mean, for the trainer to average
    _right = _seen = 0  # rows since the last log

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return the mean cross-entropy of the rows of a micro-batch."""
        ids, lengths = inputs.pop("row_ids"), inputs.pop("row_lengths")
        targets = inputs.pop("labels")
        logits = model(**inputs).logits.float()
        if model.training:
            self.note_rows(ids, lengths)
            self._right += int((logits.argmax(-1) == targets).sum())
            self._seen += len(ids)
        return F.cross_entropy(logits, targets)

    def prediction_step(
        self, model: Any, inputs: dict[str, Any], *_: Any, **__: Any
    ) -> tuple[Tensor, None, None]:
        """Return the loss of a batch of rows put apart."""
        with torch.no_grad():
            return self.compute_loss(model, self._prepare_inputs(inputs)), None, None

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Report the share of right answers of a step, as they were given while it was trained."""
        if "loss" in logs and self._seen:
            logs["train/accuracy"] = self._right / self._seen
            self._right = self._seen = 0
        super().log(logs, start_time)


def build_trainer(model: Any, job: Job, arguments: dict[str, Any]) -> LabelTrainer:
    """Return the trainer for the rows of `job.tokens`, with the labels of its labels.json."""
    tokenizer = load_tokenizer(job.base)
    kept, apart = split_rows(read_rows_to_train(job.tokens), job.settings)
    trainer = LabelTrainer(
        model=model,
        args=hold_to_one_gpu(TrainingArguments(**arguments, **evaluation_arguments(job.settings))),
        train_dataset=kept,
        eval_dataset=apart,
        processing_class=tokenizer,
        data_collator=_collator(read_labels(job.tokens), tokenizer.pad_token_id),
    )
    trainer.job = job
    return trainer


def _collator(
    labels: list[str], padding: int
) -> Callable[[Sequence[dict[str, Any]]], dict[str, Any]]:
    places = {label: place for place, label in enumerate(labels)}

    def collate(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
        texts = [(row["input_ids"], row["input_ids"]) for row in rows]
        return {
            **pad(texts, padding=padding),
            "labels": torch.tensor([places[row["label"]] for row in rows]),
            "row_ids": [row["id"] for row in rows],
            "row_lengths": [len(row["input_ids"]) for row in rows],
        }

    return collate
