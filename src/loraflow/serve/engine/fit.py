"""Whether an adapter's files are made for a base model, before anything is attached."""

from collections.abc import Iterable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import nn

from loraflow.errors import UserError
from loraflow.serve.adapters.adapter import WEIGHTS, Adapter

_PREFIX = "base_model.model."


def require_fit(adapter: Adapter, folder: Path, causal_lm: nn.Module) -> None:
    """Compare names and shapes of the adapter's weights with the modules of the base.

    Raises:
        UserError: if it was trained on another model, or its file is damaged.
    """
    modules = dict(causal_lm.named_modules())
    for name, shape in shapes_of(adapter, folder).items():
        module = _module_of(name, modules)
        if module is None or not _fits(name, shape, module):
            raise UserError(
                f"{adapter.source} was trained on another model than is served: {name} {shape} "
                "has no place in it; set model=... to that of its training"
            )


def require_all(adapter: Adapter, folder: Path, attached: Iterable[str]) -> None:
    """Compare the file with what its config says: PEFT invents weights that are missing.

    Args:
        adapter: whose files they are
        folder: of the files
        attached: names of the weights that the config calls for, as PEFT saves them

    Raises:
        UserError: if one is missing.
    """
    missing = sorted(set(attached) - set(shapes_of(adapter, folder)))
    if missing:
        raise UserError(
            f"{adapter.source}: its {WEIGHTS} lacks {len(missing)} weights that its config calls "
            f"for, such as {missing[0]}; fetch or train it again"
        )


def shapes_of(adapter: Adapter, folder: Path) -> dict[str, list[int]]:
    """Return the shape of each weight in the adapter's file, by its name.

    Raises:
        UserError: if the file cannot be read.
    """
    try:
        with safe_open(folder / WEIGHTS, framework="pt") as weights:
            return {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118 - no dict
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{adapter.source}: its {WEIGHTS} cannot be read ({error}); fetch or train it again"
        ) from error


def _module_of(name: str, modules: dict[str, nn.Module]) -> nn.Module | None:
    """Return the innermost module of the base that a weight belongs to."""
    path = name.removeprefix(_PREFIX)
    while path and path not in modules:
        path = path.rpartition(".")[0]
    return modules.get(path) if path else None


def _fits(name: str, shape: list[int], module: nn.Module) -> bool:
    sizes = {".lora_A.": (1, "in_features"), ".lora_B.": (0, "out_features")}
    return all(
        bool(shape[axis] == getattr(module, size, shape[axis]))
        for part, (axis, size) in sizes.items()
        if part in name
    )
