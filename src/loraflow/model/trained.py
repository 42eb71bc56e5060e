"""What the stage train leaves in its folder: an adapter, or a whole model."""

from pathlib import Path


def adapter_of(trained: Path) -> Path | None:
    """Return the adapter in what the stage train left, or `trained` itself if it is one."""
    folders = (trained / "adapter", trained)
    return next((folder for folder in folders if (folder / "adapter_config.json").is_file()), None)


def whole_model_of(trained: Path) -> Path | None:
    """Return the model in what the stage train left, if all of it was trained."""
    return trained / "model" if (trained / "model").is_dir() else None
