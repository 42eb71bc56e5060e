"""Which modules of a model carry an adapter, known from its files without loading it."""

import json
import re
import struct
from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path

from loraflow.config import AdapterConfig
from loraflow.errors import UserError, nearest
from loraflow.files import read_json
from loraflow.model.architectures import (
    SETS,
    layer_of,
    layout_of,
    select,
    select_set,
    taken_for_experts,
)

Shapes = Mapping[str, tuple[int, int]]  # module name -> the two sides of its weight

_EXPERT = re.compile(r"(?:^|\.)experts\.\d+\.")
_ROUTER = re.compile(r"(?:^|\.)(?:gate|router)$")
_PREFIXES = ("", "model.", "transformer.")  # that a loaded model may have and its file lacks


def linear_modules(folder: Path) -> Shapes:
    """Return the shapes of all matrices that LoRA can sit beside, from the safetensors headers.

    Embeddings and the output layer are left out, as are experts and routers: transformers 5 holds
    them as stacked parameters, which `adapter.experts` names.
    """
    return {
        name.removesuffix(".weight"): (shape[0], shape[1])
        for name, shape in tensor_shapes(folder).items()
        if name.endswith(".weight") and len(shape) == 2 and _is_linear(name.removesuffix(".weight"))  # noqa: PLR2004 - a matrix
    }


def tensor_shapes(folder: Path) -> dict[str, list[int]]:
    """Return the shape of every tensor of a model, from the safetensors headers."""
    return {
        name: entry["shape"]
        for file in sorted(folder.glob("model*.safetensors"))
        for name, entry in _read_header(file).items()
    }


def target_shapes(adapter: AdapterConfig, folder: Path) -> Shapes:
    """Return the shapes of the modules of the model in `folder` that `adapter` sits beside.

    Raises:
        UserError: as `find_targets` does.
    """
    shapes, model = linear_modules(folder), read_json(folder / "config.json")
    found = find_targets(
        adapter, list(shapes), model_type=model["model_type"], experts=expert_count(model)
    )
    return {name: shapes[name] for name in found}


def find_targets(
    adapter: AdapterConfig, modules: Collection[str], *, model_type: str, experts: int
) -> list[str]:
    """Return the modules that `adapter` sits beside, by their full names.

    Args:
        adapter: what is asked for
        modules: names of all linear modules of the model
        model_type: as the model's config.json has it
        experts: how many the model has, 0 if it is dense

    Raises:
        UserError: if a name matches nothing; lists what there is.
    """
    if (
        adapter.method == "ia3"
    ):  # its modules follow from the method: keys, values, inner activation
        layout = layout_of(model_type)
        found = select(f"{layout.key_value}|{layout.down}", modules)
    elif adapter.method in ("lora", "adalora"):
        found = list(_named(adapter.target_modules, modules, model_type))
    else:
        return []
    found = _in_layers(found, adapter.layers_to_transform, modules)
    _require_experts(adapter, experts)
    if adapter.method == "lora":
        _require_taken_as_named(adapter, taken_for_experts(found, model_type))
    _require_ranks(adapter.rank_pattern, found)
    return found


def rank_of(module: str, adapter: AdapterConfig) -> int:
    """Return the rank of the adapter beside `module`."""
    keys = [key for key in adapter.rank_pattern if _has_pattern(key, module)]
    return adapter.rank_pattern[keys[0]] if keys else adapter.r


def expert_count(model: Mapping[str, object]) -> int:
    """Return how many experts a layer has by the model's config.json, 0 for a dense model."""
    text = model.get("text_config")  # of a model that sees pictures too
    settings = {**model, **text} if isinstance(text, Mapping) else model
    for key in ("num_local_experts", "num_experts", "n_routed_experts"):
        if isinstance(count := settings.get(key), int):
            return count
    return 0


def _named(
    target_modules: list[str] | str, modules: Collection[str], model_type: str
) -> Iterator[str]:
    """Yield modules in the model's order, each once."""
    if isinstance(target_modules, str):
        one = target_modules in SETS
        found = set(
            select_set(target_modules, modules, model_type)
            if one
            else _by_pattern(target_modules, modules)
        )
        missing = [target_modules] if one and not found else []
    else:
        matches = {
            name: select_set(name, modules, model_type) if name in SETS else _by_end(name, modules)
            for name in target_modules
        }
        found = {module for names in matches.values() for module in names}
        missing = [name for name, names in matches.items() if not names]
    if missing:
        raise _no_match(target_modules, missing, modules)
    yield from (module for module in modules if module in found)


def _by_end(target: str, modules: Collection[str]) -> list[str]:
    """Match as PEFT does: each name of a list ends a module's name."""
    return [module for module in modules if module == target or module.endswith(f".{target}")]


def _by_pattern(expression: str, modules: Collection[str]) -> list[str]:
    """Match as PEFT does: one text is a regular expression for the whole of a module's name."""
    try:
        pattern = re.compile(expression)
    except re.error as error:
        raise UserError(
            f"adapter.target_modules={expression} is no regular expression: {error}; "
            f"set it to one of {', '.join(SETS)}, a list of names or a valid pattern"
        ) from error
    for prefix in _PREFIXES:
        if found := [module for module in modules if pattern.fullmatch(prefix + module)]:
            return found
    raise UserError(
        f"adapter.target_modules={expression}{nearest(expression, list(SETS))} is taken as a "
        f"regular expression for whole names such as {next(iter(modules), 'none')}, and matches "
        f"none; set adapter.target_modules=[{expression}] to match by ending, or choose from "
        f"{', '.join(SETS)}"
    )


def _no_match(
    target_modules: list[str] | str, missing: Sequence[str], modules: Collection[str]
) -> UserError:
    endings = sorted({module.rpartition(".")[2] for module in modules})
    close = get_close_matches(missing[0], [*endings, *SETS], n=1)
    hint = f" (did you mean {close[0]}?)" if close and close[0] not in missing else ""
    return UserError(
        f"adapter.target_modules={target_modules}: {', '.join(missing)} matches no module "
        f"of this model{hint}; choose from {', '.join(endings)}"
    )


def _in_layers(found: list[str], layers: list[int] | None, modules: Collection[str]) -> list[str]:
    if layers is None:
        return found
    there = sorted({layer for name in modules if (layer := layer_of(name)) is not None})
    if missing := sorted(set(layers) - set(there)):
        raise UserError(
            f"adapter.layers_to_transform={layers}: the model has no layer "
            f"{', '.join(map(str, missing))}; its layers are {there[0]} to {there[-1]}"
        )
    return [name for name in found if layer_of(name) in layers]


def _require_experts(adapter: AdapterConfig, experts: int) -> None:
    if adapter.experts is not None and not experts:
        raise UserError(
            f"adapter.experts={adapter.experts} but the model has no experts; "
            "set adapter.experts=null"
        )
    if isinstance(adapter.experts, list) and max(adapter.experts, default=0) >= experts:
        raise UserError(
            f"adapter.experts={adapter.experts}: the model's experts are 0 to {experts - 1}"
        )


def _require_taken_as_named(adapter: AdapterConfig, confused: Sequence[str]) -> None:
    if confused:
        raise UserError(
            f"adapter.target_modules={adapter.target_modules} names {confused[0]}, which PEFT "
            "0.21 takes for the experts of such a model and leaves without an adapter; "
            "set adapter.target_modules=attention, and adapter.experts=all for the experts"
        )


def _require_ranks(rank_pattern: Mapping[str, int], found: Sequence[str]) -> None:
    """Refuse keys that match nothing, or of which the first match would decide.

    PEFT sorts the keys when it saves an adapter, so the first one changes when it is loaded.
    """
    for key in rank_pattern:
        if not any(_has_pattern(key, module) for module in found):
            endings = sorted({module.rpartition(".")[2] for module in found})
            raise UserError(
                f"adapter.rank_pattern: {key} matches no module that has an adapter; "
                f"choose from {', '.join(endings)}, or add it to adapter.target_modules"
            )
    for module in found:
        keys = [key for key in rank_pattern if _has_pattern(key, module)]
        if len(keys) > 1:
            raise UserError(
                f"adapter.rank_pattern: {' and '.join(keys)} both match {module}; "
                "make them exclude each other"
            )


def _has_pattern(key: str, module: str) -> bool:
    """Match as PEFT does: a key is a regular expression for the end of a module's name."""
    try:
        return re.fullmatch(rf"(?:.*\.)?(?:{key})", module) is not None
    except re.error as error:
        raise UserError(
            f"adapter.rank_pattern: {key} is no regular expression: {error}; "
            "name the end of a module's name"
        ) from error


def _is_linear(module: str) -> bool:
    last = module.rpartition(".")[2]
    is_vocabulary = "embed" in last or last in ("lm_head", "wte", "wpe")
    return not (is_vocabulary or _EXPERT.search(module) or _ROUTER.search(module))


def _read_header(file: Path) -> dict[str, dict[str, list[int]]]:
    """Read a safetensors header: 8 bytes of length, little-endian, then JSON."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header: dict[str, dict[str, list[int]]] = json.loads(stream.read(length))
    header.pop("__metadata__", None)
    return header
