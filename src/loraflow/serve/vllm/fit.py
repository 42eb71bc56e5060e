"""What one vLLM server can serve beside its base: plain LoRA, of the same base and template."""

from dataclasses import dataclass
from pathlib import Path

from loraflow.config import TemplateConfig
from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.plain_lora import writes_to_base
from loraflow.model.source import BaseModel
from loraflow.model.trained import adapter_of
from loraflow.serve.adapters.adapter import CONFIG, Adapter, require_base


@dataclass(frozen=True)
class Ground:
    """What all adapters of a vLLM server have in common."""

    base: BaseModel
    template: TemplateConfig  # vLLM renders all prompts by one


def require_servable(adapter: Adapter, ground: Ground) -> Path:
    """Return the folder that vLLM loads an adapter from.

    Raises:
        UserError: if it cannot be served there, or would answer otherwise than it was trained.
    """
    folder = None if adapter.folder is None else adapter_of(adapter.folder)
    if folder is None:
        raise UserError(f"{adapter.source} is no adapter; serve it as the model itself")
    require_base(adapter, ground.base.revision)
    config = read_json(folder / CONFIG)
    is_plain = config["peft_type"] == "LORA" and not writes_to_base(folder)
    if not is_plain or config.get("use_dora") or config.get("modules_to_save"):
        raise UserError(
            f"{adapter.source} is more than a plain LoRA, which vLLM does not serve; export it "
            "merged (make export) and serve that as the model"
        )
    template = adapter.template or ground.template
    if template.chat_template != ground.template.chat_template:
        raise UserError(
            f"{adapter.source} was trained with template={template.name}, and vLLM asks all "
            f"adapters by one, which is template={ground.template.name} here; make serve asks "
            "each by its own"
        )
    return folder.absolute()
