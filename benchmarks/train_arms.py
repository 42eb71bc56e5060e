"""The arms of `benchmarks.train`: the same rows, model, rank and steps, in different ways."""

import json
import re
import subprocess
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir

from flows.command import CONF, to_settings
from loraflow.check import load_config
from loraflow.config import Config
from loraflow.files import read_lines
from loraflow.measure import measured

_SIZE = 2048  # of the matrices that the peak is measured with


def write_tokens(overrides: list[str], rows: int, folder: Path) -> str:
    """Tokenize the first `rows` rows of the data to `folder`, and say how many tokens they are."""
    import pyarrow.parquet as pq

    from loraflow.data.prepare import prepare
    from loraflow.data.read.sources import fingerprint
    from loraflow.data.tokenize import tokenize
    from loraflow.model.source import find_base

    config = _config([*overrides, "data.split.held_out_rows=1", "data/clean=none"])
    for name in ("prepared", "tokens"):
        (folder / name).mkdir(parents=True)
    prepare(config.data, content=fingerprint(config.data), out=folder / "prepared")
    table = pq.read_table(folder / "prepared" / "train.parquet").slice(0, rows)
    pq.write_table(table, folder / "prepared" / "train.parquet")
    base = find_base(config.model, config.quantization)
    counts = tokenize(
        config.template,
        config.train,
        prepared=folder / "prepared",
        base=base,
        out=folder / "tokens",
    )["counts"]
    return f"{counts['train_rows']} rows, {counts['train_tokens']:,} tokens"


def matmul_peaks() -> dict[str, float]:
    """Return the GFLOP/s of large matrix products on this machine, by type."""
    import torch

    torch.manual_seed(0)
    peaks: dict[str, float] = {}
    for name, dtype in {"bfloat16": torch.bfloat16, "float32": torch.float32}.items():
        matrix = torch.randn(_SIZE, _SIZE, dtype=dtype)
        seconds = min(_seconds(partial(torch.matmul, matrix, matrix)) for _ in range(10))
        peaks[name] = round(2 * _SIZE**3 / seconds / 1e9)
    return peaks


def _train_loraflow(folder: Path, overrides: list[str], _: str) -> dict[str, Any]:
    """The project's own stage, as `make run` calls it."""
    import torch

    from loraflow.model.quantize import compute_dtype
    from loraflow.model.source import find_base
    from loraflow.train.job import Job
    from loraflow.train.run import train

    config = _config(overrides)
    base = find_base(config.model, config.quantization)
    out = folder / f"out-{time.time_ns()}"
    out.mkdir()
    with measured() as cost:
        job = Job(
            config.adapter,
            config.train,
            base,
            folder / "tokens",
            start=None,
            work=out / "work",
            log_metric=lambda *_: None,
        )
        result = train(job, out=out)
    dtype = {torch.bfloat16: "bfloat16", torch.float32: "float32"}
    return {
        "tokens_per_second": result["metrics"]["train/mean_tokens_per_second"],
        "losses": [row["train/loss"] for row in read_lines(out / "history.jsonl")],
        "peak_memory_gib": cost.peak_memory_gib,
        "parameters": _multiplied(base.folder),
        "dtype": dtype[compute_dtype(config.quantization)],
    }


def _train_plain(folder: Path, overrides: list[str], _: str) -> dict[str, Any]:
    """TRL's SFTTrainer with its own defaults, on the same tokens."""
    from datasets import Dataset
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    from loraflow.model.load import load_base
    from loraflow.model.source import find_base
    from loraflow.model.tokenizer import load_tokenizer

    config = _config([*overrides, "quantization.compute_dtype=bfloat16"])
    base = find_base(config.model, config.quantization)
    rows = Dataset.from_parquet(
        str(folder / "tokens" / "train.parquet"), cache_dir=str(folder / "cache")
    )
    seconds: list[float] = []
    with measured() as cost:
        trainer = _counting(SFTTrainer)(
            model=load_base(base),
            args=SFTConfig(
                output_dir=str(folder / "plain"),
                per_device_train_batch_size=config.train.per_device_train_batch_size,
                max_steps=config.train.max_steps,
                learning_rate=config.train.learning_rate,
                warmup_steps=config.train.warmup_steps,
                lr_scheduler_type=config.train.lr_scheduler_type,
                seed=config.train.seed,
                max_length=config.train.max_length,
                logging_steps=1,
                save_strategy="no",
                disable_tqdm=True,
                use_cpu=True,
                dataloader_pin_memory=False,
            ),
            train_dataset=rows.select_columns(["input_ids", "labels"]),
            processing_class=load_tokenizer(base),
            peft_config=LoraConfig(
                r=config.adapter.r,
                lora_alpha=2 * config.adapter.r,
                target_modules=["q_proj", "v_proj"],
                task_type="CAUSAL_LM",
            ),
        )
        seconds.append(_seconds(trainer.train))
    return {
        "tokens_per_second": trainer.tokens / seconds[0],
        "losses": [row["loss"] for row in trainer.state.log_history if "loss" in row],
        "peak_memory_gib": cost.peak_memory_gib,
        "parameters": _multiplied(base.folder),
        "dtype": "bfloat16",
    }


def _train_llamafactory(folder: Path, overrides: list[str], python: str) -> dict[str, Any]:
    """LLaMA-Factory's own command, on the same texts."""
    from loraflow.model.source import find_base

    config = _config(overrides)
    base = find_base(config.model, config.quantization)
    rows = _write_messages(folder)
    settings = {
        "model_name_or_path": str(base.folder),
        "stage": "sft",
        "do_train": True,
        "finetuning_type": "lora",
        "lora_rank": config.adapter.r,
        "lora_target": "q_proj,v_proj",
        "dataset_dir": str(folder),
        "dataset": "rows",
        "template": "default",
        "cutoff_len": config.train.max_length,
        "output_dir": str(folder / "llamafactory"),
        "overwrite_output_dir": True,
        "per_device_train_batch_size": config.train.per_device_train_batch_size,
        "gradient_accumulation_steps": 1,
        "learning_rate": config.train.learning_rate,
        "max_steps": config.train.max_steps,
        "logging_steps": 1,
        "save_strategy": "no",
        "bf16": True,
        "use_cpu": True,
        "report_to": "none",
        **({"quantization_bit": 4} if config.quantization.method == "nf4" else {}),
    }
    path = folder / "llamafactory.yaml"
    path.write_text(json.dumps(settings))
    command = [python, "-m", "llamafactory.cli", "train", str(path)]
    with measured() as cost:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout[-1500:] + done.stderr[-1500:])
    found = re.search(r"train_samples_per_second\W+([\d.]+)", done.stdout + done.stderr)
    losses = re.findall(r"'loss': '?([\d.]+)", done.stdout)
    return {
        "tokens_per_second": float(found[1]) * rows if found else 0.0,
        "losses": [float(loss) for loss in losses] or [float("nan")],
        "peak_memory_gib": cost.peak_memory_gib,
        "parameters": _multiplied(base.folder),
        "dtype": "bfloat16",
    }


ARMS: dict[str, Callable[[Path, list[str], str], dict[str, Any]]] = {
    "plain": _train_plain,
    "loraflow": _train_loraflow,
    "llamafactory": _train_llamafactory,
}


def _counting(trainer: Any) -> Any:
    """Count real tokens, as loraflow does."""

    class Counting(trainer):  # type: ignore[misc]
        tokens = 0

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
            self.tokens += int(inputs["attention_mask"].sum())
            return super().compute_loss(model, inputs, *args, **kwargs)

    return Counting


def _write_messages(folder: Path) -> float:
    """Write the rows as LLaMA-Factory reads them, and return their mean length in tokens."""
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    from loraflow.data.tables import read_rows

    rows = [
        {"instruction": row.record.question, "input": "", "output": row.record.answer}
        for row in read_rows(folder / "prepared" / "train.parquet")
    ]
    (folder / "rows.json").write_text(json.dumps(rows))
    (folder / "dataset_info.json").write_text(json.dumps({"rows": {"file_name": "rows.json"}}))
    tokens = pq.read_table(folder / "tokens" / "train.parquet")["input_ids"]
    return float(pc.mean(pc.list_value_length(tokens)).as_py())


def _multiplied(folder: Path) -> int:
    """Return the parameters of all matrix products of a token: layers and output layer."""
    from loraflow.files import read_json
    from loraflow.model.targets import linear_modules

    config = read_json(folder / "config.json")
    layers = sum(rows * columns for rows, columns in linear_modules(folder).values())
    return int(layers + config["hidden_size"] * config["vocab_size"])


def _seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _config(overrides: list[str]) -> Config:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return load_config(to_settings(compose("config", overrides=overrides)))
