"""TRL's DPOTrainer for pairs of a better and a worse answer; the reference is computed once."""

import logging
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor, nn
from trl import DPOConfig, DPOTrainer

from loraflow.model.quantize import compute_dtype
from loraflow.model.tokenizer import load_tokenizer
from loraflow.train.arguments import hold_to_one_gpu
from loraflow.train.attention import use_packed_attention
from loraflow.train.early_stopping import evaluation_arguments, split_rows
from loraflow.train.job import Job
from loraflow.train.loss import answer_losses, require_known_head, uses_model_forward
from loraflow.train.pairs import PairCollator
from loraflow.train.reference import Likelihoods, reference_likelihoods
from loraflow.train.rows import read_rows_to_train
from loraflow.train.trainer import StageTrainer, restore_values, trained_values

log = logging.getLogger(__name__)

_NAMES = {"rewards/accuracies": "train/reward_accuracy", "rewards/margins": "train/reward_margin"}


class PairTrainer(StageTrainer, DPOTrainer):  # type: ignore[misc]  # TRL comes without types
    """Learns to prefer the better answer of each pair (DPO, arXiv:2305.18290)."""

    selects_positions = True

    def _prepare_dataset(self, dataset: Dataset, *_: Any) -> Dataset:
        return dataset  # rows come tokenized and cut

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Return the mean loss of the pairs of a micro-batch."""
        ids, lengths = inputs.pop("row_ids"), inputs.pop("row_lengths")
        if model.training:
            self.note_rows(ids, lengths)
        if not self.selects_positions:
            loss: Tensor = super().compute_loss(model, inputs)
            return loss
        reference = torch.cat([inputs.pop("ref_chosen_logps"), inputs.pop("ref_rejected_logps")])
        with self.accelerator.autocast():  # the adapter stays in float32, its products do not
            likelihoods, tokens = sequence_likelihoods(
                self.accelerator.unwrap_model(model), inputs, count=2 * len(ids)
            )
        ratios = likelihoods - reference
        if model.training:
            self._note_rewards(self.beta * ratios.detach())
        return self._pair_losses(ratios, tokens).mean()

    def _pair_losses(self, ratios: Tensor, tokens: Tensor) -> Tensor:
        (loss_type,) = self.loss_types
        if loss_type == "ipo":  # per token, as TRL has it from the authors
            ratios = ratios / tokens.clamp(min=1)
        chosen, rejected = ratios.chunk(2)
        return LOSSES[loss_type](chosen - rejected, self.beta)

    def _note_rewards(self, rewards: Tensor) -> None:
        chosen, rejected = rewards.chunk(2)
        noted = self._metrics["train"]
        noted["rewards/accuracies"].append((chosen > rejected).float().mean().item())
        noted["rewards/margins"].append((chosen - rejected).mean().item())

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Report the rewards under this project's names."""
        noted = self._metrics["train"]
        for theirs, ours in _NAMES.items():
            if theirs in noted:
                noted[ours] = noted.pop(theirs)
        super().log(logs, start_time)


LOSSES: dict[str, Callable[[Tensor, float], Tensor]] = {  # of the difference of log-ratios
    "sigmoid": lambda margin, beta: -F.logsigmoid(beta * margin),  # eq. 7, arXiv:2305.18290
    "hinge": lambda margin, beta: torch.relu(1 - beta * margin),  # arXiv:2305.10425
    "ipo": lambda margin, beta: (margin - 1 / (2 * beta)) ** 2,  # eq. 17, arXiv:2310.12036
}


def build_trainer(model: Any, job: Job, arguments: dict[str, Any]) -> PairTrainer:
    """Return the trainer for the pairs of `job.tokens`, with the reference's likelihoods.

    The reference is the model as it is handed over: the base with a fresh adapter, or with the
    adapter that an earlier training left.

    Raises:
        UserError: if the model's output layer is not known.
    """
    speed, preference = job.settings.speed, job.settings.preference
    require_known_head(model)
    if job.adapter.dropout:
        log.info(
            "adapter.dropout=%g stays off: a pair would differ from its reference by chance",
            job.adapter.dropout,
        )
    rows = read_rows_to_train(job.tokens)
    tokenizer = load_tokenizer(job.base)
    selects = speed.learned_positions and job.settings.processes == 1
    packable = speed.packing and not uses_model_forward(model)
    dtype = compute_dtype(job.base.quantization)
    packs = selects and packable and use_packed_attention(model, rows[:2]["input_ids"], dtype=dtype)
    collator = PairCollator(packs=packs, padding=tokenizer.pad_token_id, for_trl=not selects)
    kept, apart = split_rows(rows, job.settings)
    start = trained_values(model)
    trainer = PairTrainer(
        model=model,
        ref_model=_NoModel(model.config),
        args=hold_to_one_gpu(
            DPOConfig(
                **arguments,
                **evaluation_arguments(job.settings),
                beta=preference.beta,
                loss_type=[preference.loss_type],
                max_length=None,  # rows come cut to train.max_length
                router_aux_loss_coef=0.0,  # routers are frozen
            )
        ),
        train_dataset=kept,
        eval_dataset=apart,
        processing_class=tokenizer,
        data_collator=collator,
    )
    trainer.job, trainer.selects_positions = job, selects
    trainer.packs = packs if selects else packable  # TRL's loss pads, in the same order of rows
    trainer.ref_model, trainer.precompute_ref_logps = None, True
    restore_values(model, start)
    collator.reference = reference_likelihoods(
        rows, job, trainer.accelerator, _measure(trainer, packs)
    )
    return trainer


def sequence_likelihoods(model: Any, batch: dict[str, Any], *, count: int) -> tuple[Tensor, Tensor]:
    """Return the log-likelihood of what is learned in each of `count` sequences, and its tokens."""
    losses, rows = answer_losses(model, batch)
    sums = torch.zeros(count, device=losses.device).index_add(0, rows, -losses)
    return sums, torch.bincount(rows, minlength=count)


class _NoModel(nn.Module):
    """Stands for the reference in DPOTrainer's constructor, and is dropped behind it.

    Without a reference model TRL adds a copy of the adapter to the model: that would take the
    start values of PiSSA and OLoRA out of the base a second time, and AdaLoRA refuses it. For
    full fine-tuning it would load the base a second time.
    """

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config

    def forward(self) -> None:
        raise NotImplementedError


def _measure(trainer: PairTrainer, packs: bool) -> Callable[[list[dict[str, Any]]], Likelihoods]:
    """Return what computes the likelihoods of some pairs, by the model as it is."""
    padding = trainer.processing_class.pad_token_id
    collator = PairCollator(packs=packs, padding=padding, for_trl=False)

    def measure(pairs: list[dict[str, Any]]) -> Likelihoods:
        trainer.model.eval()  # training_step ends that
        batch = trainer._prepare_inputs(collator(pairs))
        ids = batch.pop("row_ids")
        del batch["row_lengths"]
        with torch.no_grad(), trainer.accelerator.autocast():
            found, _ = sequence_likelihoods(trainer.model, batch, count=2 * len(ids))
        chosen, rejected = found.chunk(2)
        return dict(zip(ids, zip(chosen.tolist(), rejected.tolist(), strict=True), strict=True))

    return measure
