"""Checkpoints that are whole or not there: written aside, checked by digest, renamed, pruned."""

import logging
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from loraflow.disk import flush_folder
from loraflow.files import hash_content, read_json, write_json

log = logging.getLogger(__name__)

_NAME = re.compile(r"step-(\d+)")
_TENSORS, _STATE, _DIGESTS = "tensors.safetensors", "state.json", "digests.json"


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint on disk, whole."""

    folder: Path
    step: int

    def tensors(self) -> dict[str, Tensor]:
        """Read the tensors, on the CPU."""
        tensors: dict[str, Tensor] = load_file(self.folder / _TENSORS)
        return tensors

    def state(self) -> dict[str, Any]:
        """Read what is no tensor."""
        state: dict[str, Any] = read_json(self.folder / _STATE)
        return state


def save_checkpoint(
    root: Path, step: int, *, tensors: Mapping[str, Tensor], state: Mapping[str, Any], keep: int
) -> None:
    """Write a checkpoint below `root`; only then delete all but the `keep` newest.

    Whatever kills the process, a folder with the final name is complete: all files and their
    SHA-256 digests are on disk before it is renamed.
    """
    final = root / f"step-{step:08d}"
    partial = root / f"{final.name}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    on_cpu = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    save_file(on_cpu, partial / _TENSORS)
    write_json(partial / _STATE, dict(state))
    write_json(
        partial / _DIGESTS, {name: hash_content(partial / name) for name in (_TENSORS, _STATE)}
    )
    flush_folder(partial)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    flush_folder(root)
    for checkpoint in _all(root)[keep:]:
        shutil.rmtree(checkpoint.folder, ignore_errors=True)


def newest_checkpoint(root: Path) -> Checkpoint | None:
    """Return the newest checkpoint below `root` that is undamaged, None without one."""
    for checkpoint in _all(root):
        fault = _fault(checkpoint.folder)
        if fault is None:
            return checkpoint
        log.warning("checkpoint %s is damaged (%s), so an earlier one", checkpoint.folder, fault)
    return None


def forget_checkpoints(root: Path, step: int) -> None:
    """Delete the checkpoints of `step` and later ones, which are not to be built upon."""
    for checkpoint in _all(root):
        if checkpoint.step >= step:
            # processes that train together all do so, at the same time
            shutil.rmtree(checkpoint.folder, ignore_errors=True)


def _all(root: Path) -> list[Checkpoint]:
    """List checkpoints, newest first; what a kill left half-written has another name."""
    if not root.is_dir():
        return []
    found = [
        Checkpoint(folder, int(name[1]))
        for folder in root.iterdir()
        if (name := _NAME.fullmatch(folder.name))
    ]
    return sorted(found, key=lambda checkpoint: -checkpoint.step)


def _fault(folder: Path) -> str | None:
    try:
        digests = read_json(folder / _DIGESTS)
        changed = [
            name for name in (_TENSORS, _STATE) if hash_content(folder / name) != digests[name]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{type(error).__name__}: {error}"
    return f"{changed[0]} is not what was written" if changed else None
