"""Stage: from tokens and the frozen base to a trained adapter."""

import logging
import math
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from transformers import PrinterCallback, set_seed

from loraflow.config import AdapterConfig, TrainConfig
from loraflow.data.tokenize import read_examples
from loraflow.files import HISTORY
from loraflow.measure import LogMetric
from loraflow.model.adapter import attach_adapter, count_parameters
from loraflow.model.load import CausalLM, load_base
from loraflow.model.quantize import compute_dtype
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer
from loraflow.progress import progress
from loraflow.train.loss import require_known_head
from loraflow.train.report import Report
from loraflow.train.sft import AnswerTrainer, sft_arguments

log = logging.getLogger(__name__)


def train(
    adapter: AdapterConfig,
    settings: TrainConfig,
    *,
    base: BaseModel,
    tokens: Path,
    log_metric: LogMetric,
    out: Path,
) -> dict[str, Any]:
    """Write the adapter (safetensors) and history.jsonl to `out`; return counts and metrics.

    The same seed, data and machine give the same adapter to the bit on a CPU.
    """
    set_seed(settings.seed)
    model = attach_adapter(load_base(base), adapter, seed=settings.seed)
    require_known_head(model)
    examples = read_examples(tokens / "train.parquet")
    trainer = _build_trainer(model, settings, base, examples, out / "trainer")
    counts = count_parameters(trainer.model)
    log.info(
        "training %s of %s parameters",
        f"{counts['trainable_parameters']:,}",
        f"{counts['total_parameters']:,}",
    )
    started = time.monotonic()
    final_loss = _run(trainer, out / HISTORY, log_metric)
    seconds = time.monotonic() - started
    trainer.model.peft_config["default"].base_model_name_or_path = base.name
    trainer.model.save_pretrained(  # no look at the hub for whether the vocabulary grew
        out / "adapter", safe_serialization=True, save_embedding_layers=False
    )
    return {
        "counts": {**counts, "steps": trainer.state.global_step, "tokens": trainer.tokens_read},
        "metrics": {
            "train/final_loss": final_loss,
            "train/scale": adapter.alpha / adapter.r,
            "train/mean_tokens_per_second": trainer.tokens_read / seconds,
        },
    }


def _build_trainer(
    model: CausalLM,
    settings: TrainConfig,
    base: BaseModel,
    examples: list[dict[str, Any]],
    folder: Path,
) -> AnswerTrainer:
    dataset = Dataset.from_list(
        [{"input_ids": row["input_ids"], "labels": row["labels"]} for row in examples]
    )
    trainer = AnswerTrainer(
        model=model,
        args=sft_arguments(settings, dtype=compute_dtype(base.quantization), folder=folder),
        train_dataset=dataset,
        processing_class=load_tokenizer(base),
    )
    if len(trainer.train_dataset) != len(examples):
        raise RuntimeError(
            f"TRL kept {len(trainer.train_dataset)} of {len(examples)} rows; none may be lost"
        )
    for parameter in trainer.model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()  # TRL made them bfloat16 beside a 4-bit base
    return trainer


def _run(trainer: AnswerTrainer, history: Path, log_metric: LogMetric) -> float:
    steps = trainer.args.max_steps
    if steps <= 0:
        per_epoch = math.ceil(
            len(trainer.get_train_dataloader()) / trainer.args.gradient_accumulation_steps
        )
        steps = math.ceil(per_epoch * trainer.args.num_train_epochs)
    with history.open("w", encoding="utf-8") as file, progress("train", steps, "steps") as bar:
        trainer.remove_callback(PrinterCallback)  # the bar shows what it would print
        trainer.add_callback(
            Report(history=file, bar=bar, tokens_read=lambda: trainer.tokens_read, log=log_metric)
        )
        trainer.train()
    return float(trainer.state.log_history[-2]["loss"])
