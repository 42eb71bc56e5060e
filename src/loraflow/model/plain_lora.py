"""Turns an adapter whose first values were taken out of the base into one that leaves it alone."""

import tempfile
from pathlib import Path

from peft import PeftConfig, PeftModel, get_peft_model

from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.load import load_base
from loraflow.model.source import BaseModel

# first values of LoRA that leave the base as it is; others, such as PiSSA's, are taken out of it,
# also when a trained adapter is loaded
_BESIDE_THE_BASE = (True, False, "gaussian", "eva")


def writes_to_base(adapter: Path | None) -> bool:
    """Tell whether PEFT changes weights of the base when it attaches the adapter."""
    if adapter is None:
        return False
    first_values = read_json(adapter / "adapter_config.json").get("init_lora_weights", True)
    return first_values not in _BESIDE_THE_BASE


def save_as_plain_lora(base: BaseModel, adapter: Path, *, out: Path) -> None:
    """Write the same update as a LoRA of twice the rank to `out`, for a base nobody changes.

    What training added is B A - B0 A0, where the second product was taken out of the base before
    the first step; side by side they are one pair of matrices of rank 2 r.

    Raises:
        UserError: for ranks of their own with rsLoRA, whose scales PEFT cannot keep.
    """
    config = PeftConfig.from_pretrained(adapter)
    if config.use_rslora and (config.rank_pattern or config.alpha_pattern):
        raise UserError(
            f"an adapter of adapter.init_lora_weights={config.init_lora_weights} with "
            "adapter.rank_pattern and adapter.alpha_mode=rslora has no plain form: export=merged"
        )
    with tempfile.TemporaryDirectory() as scratch:
        first = Path(scratch) / "first"
        config.inference_mode = False
        fresh = get_peft_model(load_base(base), config)
        fresh.peft_config["default"].init_lora_weights = True  # else loading takes them out again
        fresh.save_pretrained(first, save_embedding_layers=False)
        trained = PeftModel.from_pretrained(load_base(base), adapter)
        trained.save_pretrained(
            out, path_initial_model_for_weight_conversion=str(first), save_embedding_layers=False
        )
