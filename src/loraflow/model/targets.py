"""Which modules of a model can carry an adapter, read from its files without loading it."""

import json
import re
import struct
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path

from loraflow.errors import UserError

Shapes = Mapping[str, tuple[int, int]]  # module name -> (out, in) of its weight


def linear_modules(folder: Path) -> Shapes:
    """Return the shapes of all matrices that LoRA can sit beside, from the safetensors headers.

    Embeddings and the output layer are left out, as in PEFT's "all-linear".
    """
    shapes: dict[str, tuple[int, int]] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        for name, entry in _read_header(file).items():
            module, _, parameter = name.rpartition(".")
            if parameter == "weight" and len(entry["shape"]) == 2 and not _is_vocabulary(module):  # noqa: PLR2004 - a matrix
                rows, columns = entry["shape"]
                shapes[module] = (rows, columns)
    return shapes


def require_targets(target_modules: list[str] | str, modules: Shapes) -> list[str]:
    """Return the modules that `adapter.target_modules` names.

    Raises:
        UserError: if a name matches nothing; lists what there is.
    """
    if isinstance(target_modules, str):
        return _by_pattern(target_modules, modules)
    missing = [
        name for name in target_modules if not any(_matches(name, module) for module in modules)
    ]
    if missing:
        endings = sorted({module.rpartition(".")[2] for module in modules})
        close = get_close_matches(missing[0], endings, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise UserError(
            f"adapter.target_modules={target_modules}: {', '.join(missing)} matches no module "
            f"of this model{hint}; choose from {', '.join(endings)}"
        )
    return [module for module in modules if any(_matches(name, module) for name in target_modules)]


def _matches(target: str, module: str) -> bool:
    """Match as PEFT does: each name of a list ends a module's name."""
    return module == target or module.endswith(f".{target}")


def _by_pattern(pattern: str, modules: Shapes) -> list[str]:
    """Match as PEFT does: one text is a regular expression for the whole of a module's name."""
    if pattern == "all-linear":
        return list(modules)
    try:
        found = [module for module in modules if re.fullmatch(pattern, module)]
    except re.error as error:
        raise UserError(
            f"adapter.target_modules={pattern} is no regular expression: {error}; "
            "set it to a list of names or a valid pattern"
        ) from error
    if not found:
        raise UserError(
            f"adapter.target_modules={pattern} is taken as a regular expression for whole names "
            f"such as {next(iter(modules), 'none')}, and matches none; "
            f"set adapter.target_modules=[{pattern}] to match by ending"
        )
    return found


def _is_vocabulary(module: str) -> bool:
    last = module.rpartition(".")[2]
    return "embed" in last or last in ("lm_head", "wte", "wpe")


def _read_header(file: Path) -> dict[str, dict[str, list[int]]]:
    """Read a safetensors header: 8 bytes of length, little-endian, then JSON."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, dict[str, list[int]]] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return header
