"""First values that come from the base's weights (LoftQ), the data (EVA), or words (prefix)."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from bitsandbytes.functional import dequantize_4bit
from bitsandbytes.nn import Linear4bit
from peft.tuners.cartridge.utils import initialize_kv_prefix_from_past_key_values
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.eva import initialize_lora_eva_weights
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from loraflow.errors import UserError

_ADAPTER = "default"  # PEFT's name of an adapter that was given none
_INSIDE = "base_model.model."  # what PEFT puts before the base's names
_TOKENS = 4096  # of training rows, in whose inputs EVA looks for directions
_MOST = 2  # times r: the largest rank that EVA gives a module (rho in the paper)
_SPARE = 8  # directions more than wanted make the wanted ones exact (arXiv:0909.4061)


def initialise_loftq(model: Any, folder: Path) -> None:
    """Start from the best low-rank repair of what quantization changed (LoftQ, arXiv:2310.08659).

    One step of the paper's iteration: base + update = quantized + low rank part of the error. PEFT
    0.21's own function wants CUDA, and forgets the scale.

    Args:
        model: a PEFT model on a 4-bit base, or on one that was unpacked
        folder: where the weights lie as they were before quantization
    """
    originals = _originals(folder)
    for name, module in _lora_layers(model):
        held = _held_weight(module.get_base_layer())
        original = _original(f"{name.removeprefix(_INSIDE)}.weight", originals).to(held)
        turned = (original, original.T)  # bitsandbytes turns those of GPT-2, which are (in, out)
        lost = min((way - held for way in turned if way.shape == held.shape), key=torch.norm)
        if not lost.any():
            continue  # not quantized; two zero matrices would never learn
        left, values, right = torch.linalg.svd(lost, full_matrices=False)
        rank, scale = module.r[_ADAPTER], module.scaling[_ADAPTER]
        roots = (values[:rank] / scale).sqrt()
        module.lora_A[_ADAPTER].weight.data = (roots[:, None] * right[:rank]).contiguous()
        module.lora_B[_ADAPTER].weight.data = (left[:, :rank] * roots).contiguous()


def initialise_eva(model: Any, rows: Sequence[Sequence[int]]) -> None:
    """Start A from the main directions of each module's inputs (EVA, arXiv:2410.07170).

    Ranks move to the modules whose inputs vary most in few directions; their sum stays, and the
    scale of each. One pass over the first thousands of tokens finds the directions: PEFT 0.21's own
    search goes on until they no longer turn, which took no end in our trials.

    Args:
        model: a PEFT model made with init_lora_weights=eva
        rows: token ids of training rows
    """
    found = _directions(model, _padded(rows, model.device))
    ranks = _share_ranks(model, {name: shares for name, (_, shares) in found.items()})
    chosen = {name: directions[: ranks[name]] for name, (directions, _) in found.items()}
    with torch.no_grad():
        initialize_lora_eva_weights(model, eva_state_dict=chosen)
    for parameter in model.parameters():
        if parameter.requires_grad:  # matrices of another rank were made anew, like the base
            parameter.data = parameter.data.float()


def initialise_prefix(model: Any) -> None:
    """Start from keys and values of random words, as if these stood before the text.

    So the paper advises (section 7.4, arXiv:2101.00190). From random numbers SmolLM2 starts at a
    loss of 11, where the base is at 4.
    """
    config = model.peft_config[_ADAPTER]
    words = torch.randint(model.config.get_text_config().vocab_size, (1, config.num_virtual_tokens))
    with torch.no_grad():
        decoder = model.get_base_model().base_model  # a head in float32 would not take half
        cache = decoder(words.to(model.device), use_cache=True).past_key_values
    initialize_kv_prefix_from_past_key_values(model, past_key_values=cache)


def _lora_layers(model: Any) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer):
            yield name, module


def _held_weight(layer: nn.Module) -> Tensor:
    """Return the weight as it is computed with, in float32."""
    weight: Any = layer.weight
    if isinstance(layer, Linear4bit):
        return dequantize_4bit(weight.data, weight.quant_state).float()  # type: ignore[no-any-return]
    return weight.data.float()  # type: ignore[no-any-return]


def _original(name: str, files: Mapping[str, Path]) -> Tensor:
    short = name.partition(".")[2]  # some files leave out the name of the model's body
    found = next((key for key in (name, short) if key in files), None)
    if found is None:
        raise UserError(
            f"adapter.init_lora_weights=loftq needs {name} as it was before quantization, and the "
            "model's files have no such tensor; set adapter.init_lora_weights=default"
        )
    with safe_open(files[found], framework="pt") as file:
        original: Tensor = file.get_tensor(found)
    return original


def _originals(folder: Path) -> dict[str, Path]:
    """Return the file of every tensor of the base as it lies on disk."""
    files: dict[str, Path] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(path, framework="pt") as file:
            files |= dict.fromkeys(file.keys(), path)
    return files


def _padded(rows: Sequence[Sequence[int]], device: torch.device) -> dict[str, Tensor]:
    """Return as many of the first rows as there is room for, padded on the right."""
    cut = [torch.tensor(row[:_TOKENS]) for row in rows]
    ends = accumulate(len(row) for row in cut)
    kept = [row for row, end in zip(cut, ends, strict=True) if end <= _TOKENS]
    mask = pad_sequence([torch.ones_like(row) for row in kept], batch_first=True)
    ids = pad_sequence(kept, batch_first=True)
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}


def _directions(model: Any, batch: dict[str, Tensor]) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each module's main directions of its inputs, and their shares of all variance."""
    found: dict[str, tuple[Tensor, Tensor]] = {}
    last: list[Any] = [None, None]  # input and its directions: q, k and v read the same
    real = batch["attention_mask"].bool()

    def watch(name: str, count: int) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            if inputs[0] is not last[0]:
                last[:] = inputs[0], _main_directions(inputs[0][real].float(), count)
            found[name] = last[1]

        return look

    handles = [
        module.register_forward_pre_hook(watch(name, _MOST * module.r[_ADAPTER]))
        for name, module in _lora_layers(model)
    ]
    training = model.training
    model.eval()
    with torch.no_grad():
        model.get_base_model().base_model(**batch)  # no head: one in float32 would not take half
    model.train(training)
    for handle in handles:
        handle.remove()
    return found


def _main_directions(inputs: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Return the first `count` principal directions, and which share of the variance each has."""
    centred = inputs - inputs.mean(0)  # (tokens, in)
    with torch.random.fork_rng():
        torch.manual_seed(0)  # the search starts from random vectors
        _, values, directions = torch.svd_lowrank(centred, min(count + _SPARE, *centred.shape))
    shares = values.square() / centred.square().sum().clamp(min=torch.finfo().tiny)
    return directions.T[:count].contiguous(), shares[:count]


def _share_ranks(model: Any, shares: Mapping[str, Tensor]) -> Counter[str]:
    """Give the ranks, as many as there are, to the directions with the largest shares."""
    ranks = sum(module.r[_ADAPTER] for _, module in _lora_layers(model))
    all_shares = [(float(share), name) for name, found in shares.items() for share in found]
    return Counter(name for _, name in sorted(all_shares, reverse=True)[:ranks])
