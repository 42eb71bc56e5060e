"""Goes on with the adapter of an earlier training, which may have had another task."""

from pathlib import Path
from typing import Any

from peft import PeftConfig, get_peft_model_state_dict, set_peft_model_state_dict
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from safetensors.torch import load_file

from loraflow.errors import UserError

_WEIGHTS = "adapter_model.safetensors"


def continued_config(start: Path, task_type: str, head: list[str] | None) -> PeftConfig:
    """Return the config of the adapter in `start`, to be trained on for another task."""
    kind = PeftConfig.from_pretrained(start).peft_type
    config = PEFT_TYPE_TO_CONFIG_MAPPING[kind].from_pretrained(start)
    config.inference_mode = False
    config.base_model_name_or_path = None  # PEFT would warn that the base was renamed
    config.task_type, config.modules_to_save = task_type, head
    return config


def load_weights(model: Any, start: Path) -> None:
    """Give the adapter of `model` the values in `start`; a head that is not there stays new.

    PEFT's own loader refuses to train prompts on, and rounds a head to the type of the base.

    Raises:
        UserError: if the adapter in `start` was trained beside other modules.
    """
    weights = load_file(start / _WEIGHTS)
    own = get_peft_model_state_dict(model, save_embedding_layers=False)
    missing = [name for name in own if name not in weights and _is_adapters(name)]
    unknown = [name for name in weights if name not in own and _is_adapters(name)]
    if missing or unknown:
        raise UserError(
            f"the adapter of the earlier training in {start} does not fit: {len(missing)} of its "
            f"tensors are missing and {len(unknown)} are unknown, first {(missing + unknown)[0]}; "
            "use the same adapter section in both trainings"
        )
    set_peft_model_state_dict(model, {name: weights.get(name, own[name]) for name in own})


def _is_adapters(name: str) -> bool:
    return any(part in name for part in ("lora_", "ia3_", "prompt_embeddings"))
