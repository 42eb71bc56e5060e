"""What runs are called, and what has to be known to read their reports."""

from pathlib import Path

from loraflow.config import Config


def name_of(config: Config) -> str:
    """Name a run by what is compared: model, rank or method, quantization, task."""
    adapter, task = config.adapter, config.train.task
    what = f"r={adapter.r}" if adapter.method == "lora" else adapter.method
    return " ".join(
        [config.model.name, what, config.quantization.method, *([task] if task != "sft" else [])]
    )


def facts_of(config: Config) -> list[tuple[str, str]]:
    """Return names and values for the head of a report."""
    files = config.data.path or [config.data.layout]
    return [
        ("base model", config.model.name),
        ("quantization", config.quantization.method),
        ("adapter", f"{config.adapter.method}, r={config.adapter.r}"),
        ("data", ", ".join(Path(file).name for file in files)),
        ("template", config.template.name),
        ("seed", str(config.train.seed)),
    ]
