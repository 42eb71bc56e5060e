"""What vLLM is started with: a config file, the chat template of the training, and a command.

Its options are those of vLLM's own documentation (docs.vllm.ai, "LoRA Adapters"); no vLLM ran where
this was written.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loraflow.config import ServeConfig
from loraflow.data.template import Template
from loraflow.errors import UserError
from loraflow.files import read_json, write_json
from loraflow.model.tokenizer import load_tokenizer, stop_tokens
from loraflow.serve.adapters.adapter import CONFIG, Adapter
from loraflow.serve.adapters.find import ALIASES
from loraflow.serve.vllm.fit import Ground, require_servable

CONFIG_FILE, TEMPLATE_FILE = "config.json", "chat_template.jinja"
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has kernels for
_USUAL = 64  # room for a later champion of more rank


def write_settings(
    serve: ServeConfig, ground: Ground, adapters: Mapping[str, Adapter], *, out: Path
) -> str:
    """Write vLLM's config file to `out`, and return the command that starts it.

    Raises:
        UserError: if vLLM cannot serve one of the adapters.
    """
    base = ground.base
    folders = {name: require_servable(adapter, ground) for name, adapter in adapters.items()}
    settings: dict[str, Any] = {
        "model": str(base.folder),
        "served-model-name": "base",
        "host": serve.host,
        "port": serve.port,
        "enable-lora": True,
        "max-lora-rank": _kernel_rank(max([_USUAL, *map(_rank, folders.values())])),
        "max-loras": len({*adapters, *ALIASES}) + 1,  # one more while a name moves
        "lora-modules": [
            json.dumps({"name": name, "path": str(folder)}) for name, folder in folders.items()
        ],
        "chat-template": str((out / TEMPLATE_FILE).absolute()),
    }
    if base.quantization.method in ("nf4", "fp4"):
        settings["quantization"] = "bitsandbytes"  # 4 bits, as in training
    if base.trust_remote_code:
        settings["trust-remote-code"] = True
    out.mkdir(parents=True, exist_ok=True)
    (out / TEMPLATE_FILE).write_text(_chat_template(ground), encoding="utf-8")
    write_json(out / CONFIG_FILE, settings)  # JSON is YAML too, which vLLM reads
    return f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve --config {out / CONFIG_FILE}"


def _chat_template(ground: Ground) -> str:
    """Return what makes vLLM ask with the tokens of the training."""
    tokenizer = load_tokenizer(ground.base)
    return Template(ground.template, tokenizer, stop_tokens(ground.base, tokenizer)).portable()


def _rank(folder: Path) -> int:
    config = read_json(folder / CONFIG)
    ranks: list[int] = [config["r"], *(config.get("rank_pattern") or {}).values()]
    return max(ranks)


def _kernel_rank(rank: int) -> int:
    found = next((known for known in _RANKS if known >= rank), None)
    if found is None:
        raise UserError(f"vLLM serves adapters up to r={_RANKS[-1]}, and one has r={rank}")
    return found
