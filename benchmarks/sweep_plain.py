"""One trial as a user would write it with TRL, PEFT and transformers alone."""

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from flows.command import CONF, readable, to_settings
from loraflow.check import load_config
from loraflow.config import Config
from loraflow.model.source import BaseModel

_TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj"]  # target_modules=attention of a Llama
_BATCH = 16  # answers at once: faster here than 1 and than 64 (benchmarks.generate)


def run_one(trial: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Train with rank trial["r"] (None: not at all), answer, and return loss, items, seconds."""
    from loraflow.model.source import find_base

    config = read_config(trial["words"])
    clock = _Clock()
    base = find_base(config.model, config.quantization)
    tokens, records = _data(config, base, folder)
    clock.note("data")
    model = _load(base)
    clock.note("load")
    loss = None
    if trial["r"] is not None:
        model, loss = _train(model, config, base, (tokens, folder), trial)
    clock.note("train")
    items = _answer(model.eval(), config, base, tokens, records)
    clock.note("evaluate")
    return {"loss": loss, "items": items, "seconds": clock.seconds}


def read_config(words: Sequence[str]) -> Config:
    """Return the config that loraflow's command line `words` make."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=[readable(word) for word in words])
    return load_config(to_settings(composed))


class _Clock:
    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.monotonic()

    def note(self, name: str) -> None:
        now = time.monotonic()
        self.seconds[name], self._last = round(now - self._last, 1), now


def _data(config: Config, base: BaseModel, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Prepare and tokenize, so that both sides learn and answer the same rows."""
    from loraflow.data.prepare import prepare
    from loraflow.data.read.sources import fingerprint
    from loraflow.data.tables import read_rows
    from loraflow.data.tokenize import tokenize

    for name in ("prepared", "tokens"):
        (folder / name).mkdir()
    prepared, tokens = folder / "prepared", folder / "tokens"
    prepare(config.data, content=fingerprint(config.data), out=prepared)
    tokenize(config.template, config.train, prepared=prepared, base=base, out=tokens)
    return tokens, {row.id: row.record for row in read_rows(prepared / "held_out.parquet")}


def _load(base: BaseModel) -> Any:
    """Load in 4 bits as the documentation of bitsandbytes shows it."""
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    return AutoModelForCausalLM.from_pretrained(
        base.folder,
        quantization_config=BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        ),
        dtype=torch.bfloat16,
    )


def _train(
    model: Any,
    config: Config,
    base: BaseModel,
    places: tuple[Path, Path],
    trial: Mapping[str, Any],
) -> tuple[Any, float]:
    """Train with TRL's SFTTrainer and its own defaults; return the loss on rows apart too."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from loraflow.model.tokenizer import load_tokenizer

    tokens, folder = places
    rows = Dataset.from_parquet(str(tokens / "train.parquet"), cache_dir=str(folder / "cache"))
    apart = config.train.early_stopping.rows if config.train.early_stopping else 1
    sides = rows.select_columns(["input_ids", "labels"]).train_test_split(apart, seed=0)
    trainer = SFTTrainer(
        model=model,
        args=SFTConfig(
            output_dir=str(folder / "plain"),
            per_device_train_batch_size=config.train.per_device_train_batch_size,
            gradient_accumulation_steps=config.train.gradient_accumulation_steps,
            max_steps=config.train.max_steps,
            learning_rate=trial["rate"],
            warmup_steps=config.train.warmup_steps,
            lr_scheduler_type=config.train.lr_scheduler_type,
            max_grad_norm=config.train.max_grad_norm,
            max_length=config.train.max_length,
            seed=0,
            logging_steps=1,
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            dataloader_pin_memory=False,
        ),
        train_dataset=sides["train"],
        eval_dataset=sides["test"],
        processing_class=load_tokenizer(base),
        peft_config=LoraConfig(
            r=trial["r"],
            lora_alpha=config.adapter.alpha * trial["r"],  # alpha_mode=ratio: one scale at every r
            target_modules=_TARGETS,
            task_type="CAUSAL_LM",
        ),
    )
    trainer.train()
    return trainer.model, trainer.evaluate()["eval_loss"]


def _answer(
    model: Any, config: Config, base: BaseModel, tokens: Path, records: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Answer with transformers' `generate` in padded batches, and score with rouge_score."""
    from rouge_score.rouge_scorer import RougeScorer

    from loraflow.data.tokenize import read_examples
    from loraflow.evaluate.generate.padded import generate_padded
    from loraflow.evaluate.generate.prompt import Prompt
    from loraflow.model.tokenizer import load_tokenizer, stop_tokens

    model.config.use_cache = True  # training with checkpointed activations switched it off
    tokenizer = load_tokenizer(base)
    examples = read_examples(tokens / "held_out.parquet")
    prompts = [
        Prompt(row["id"], _prompt_of(row), config.evaluate.max_new_tokens) for row in examples
    ]
    stop = stop_tokens(base, tokenizer)
    rows = dict(generate_padded(model, tokenizer, prompts, batch_size=_BATCH, stop=stop))
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    return [
        {
            "id": row["id"],
            "rougeL": scorer.score(
                records[row["id"]].answer,
                tokenizer.decode(rows[place], skip_special_tokens=True).strip(),
            )["rougeL"].fmeasure,
        }
        for place, row in enumerate(examples)
    ]


def _prompt_of(row: Mapping[str, Any]) -> list[int]:
    """Return the tokens before the first that is learned."""
    first = next(place for place, label in enumerate(row["labels"]) if label != -100)  # noqa: PLR2004
    return list(row["input_ids"][:first])
