"""What vLLM is started with: a config file, the chat template of the training, and a command.

Its options are those of vLLM's own documentation (docs.vllm.ai, "LoRA Adapters"); no vLLM ran where
this was written.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from loraflow.config import ServeConfig, TemplateConfig
from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.source import BaseModel
from loraflow.model.trained import adapter_of
from loraflow.serve.adapters.adapter import CONFIG, Adapter

CONFIG_FILE, TEMPLATE_FILE = "config.json", "chat_template.jinja"
_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)  # that vLLM has kernels for
_USUAL = 64  # room for a later champion of more rank


def write_settings(
    serve: ServeConfig,
    base: BaseModel,
    adapters: Mapping[str, Adapter],
    template: TemplateConfig,
    *,
    out: Path,
) -> str:
    """Write vLLM's config file to `out`, and return the command that starts it.

    Raises:
        UserError: if vLLM cannot serve one of the adapters.
    """
    ranks = [_rank(adapter) for adapter in adapters.values()]
    settings: dict[str, Any] = {
        "model": str(base.folder),
        "served-model-name": "base",
        "host": serve.host,
        "port": serve.port,
        "enable-lora": True,
        "max-lora-rank": _kernel_rank(max([_USUAL, *ranks])),
        "max-loras": len(adapters) + 1,  # one more while a name moves
        "lora-modules": [
            json.dumps({"name": name, "path": str(_files(adapter))})
            for name, adapter in adapters.items()
        ],
    }
    if base.quantization.method in ("nf4", "fp4"):
        settings["quantization"] = "bitsandbytes"  # 4 bits, as in training
    if base.trust_remote_code:
        settings["trust-remote-code"] = True
    out.mkdir(parents=True, exist_ok=True)
    if template.chat_template is not None:
        path = (out / TEMPLATE_FILE).absolute()
        path.write_text(template.chat_template, encoding="utf-8")
        settings["chat-template"] = str(path)
    # JSON is YAML too, which vLLM reads
    (out / CONFIG_FILE).write_text(json.dumps(settings, indent=2, ensure_ascii=False) + "\n")
    return f"VLLM_ALLOW_RUNTIME_LORA_UPDATING=True vllm serve --config {out / CONFIG_FILE}"


def _rank(adapter: Adapter) -> int:
    config = read_json(_files(adapter) / CONFIG)
    if config["peft_type"] != "LORA" or config.get("use_dora") or config.get("modules_to_save"):
        raise UserError(
            f"{adapter.source} is more than a plain LoRA, which vLLM does not serve; export it "
            "merged (make export) and serve that as the model"
        )
    ranks: list[int] = [config["r"], *(config.get("rank_pattern") or {}).values()]
    return max(ranks)


def _kernel_rank(rank: int) -> int:
    found = next((known for known in _RANKS if known >= rank), None)
    if found is None:
        raise UserError(f"vLLM serves adapters up to r={_RANKS[-1]}, and one has r={rank}")
    return found


def _files(adapter: Adapter) -> Path:
    folder = None if adapter.folder is None else adapter_of(adapter.folder)
    if folder is None:
        raise UserError(f"{adapter.source} is no adapter; serve it as the model itself")
    return folder.absolute()
