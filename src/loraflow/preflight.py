"""What can be known before anything starts: files, folders, disk, and what cannot run here."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from loraflow.config import ANSWERED, Config
from loraflow.data.alarms import probe
from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.size import count_saved
from loraflow.model.source import folder_at_hand

_MIB = 2**20
_WORKING_ROOM = 64 * _MIB  # records, tokens, items and logs of one experiment
_BYTES_PER_PARAMETER = 4  # the adapter is kept in float32
_COPIES = 2  # in the store and in MLflow


def check_machine(config: Config) -> None:
    """Check data, folders and options; takes a second or two and loads no model.

    Raises:
        UserError: names the key, its value and the fix.
    """
    if config.data.path is not None:
        probe(config.data)
    _require_writable("store", config.store)
    _require_writable("model.cache", config.model.cache)
    _require_room(config.store, _WORKING_ROOM)
    if config.quantization.compute_dtype == "float16" and not _has_cuda():
        raise UserError(
            "quantization.compute_dtype='float16' needs a CUDA GPU, and this machine has none; "
            "set quantization.compute_dtype=auto"
        )
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            f"WORLD_SIZE={os.environ['WORLD_SIZE']}: start the command without a launcher; "
            "train.processes=N starts its own processes"
        )
    if (base := folder_at_hand(config.model)) is not None:
        check_model(config, base)


def check_model(config: Config, base: Path) -> None:
    """Check the config against the files of the base model, without loading it.

    Raises:
        UserError: if target modules match nothing, texts are longer than the model can read, or
            the adapter does not fit on the disk.
    """
    _require_context(config, read_json(base / "config.json"))
    saved = count_saved(config.adapter, base)
    _require_room(config.store, _WORKING_ROOM + saved * _BYTES_PER_PARAMETER * _COPIES)


def _require_context(config: Config, model: dict[str, Any]) -> None:
    limit = model.get("max_position_embeddings")
    read = {"train.max_length": config.train.max_length}
    if config.train.task in ANSWERED:
        read["evaluate.max_new_tokens"] = config.evaluate.max_new_tokens
    if limit and sum(read.values()) > limit:
        raise UserError(
            f"{' + '.join(f'{key}={value}' for key, value in read.items())} exceed the {limit} "
            f"tokens that {config.model.name} can read; lower {' or '.join(read)}"
        )


def _require_writable(key: str, folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{key}={folder} cannot be written: {error.strerror}; set {key}=FOLDER to one that can"
        ) from error


def _require_room(store: Path, needed: int) -> None:
    free = shutil.disk_usage(store).free
    if free < needed:
        raise UserError(
            f"store={store} has {free / _MIB:.0f} MiB free, and this run needs about "
            f"{needed / _MIB:.0f} MiB; free space or set store=FOLDER on another disk"
        )


def _has_cuda() -> bool:
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")  # asks the driver, starts nothing
    import torch  # noqa: PLC0415 - a second that only this question costs

    return torch.cuda.is_available()
