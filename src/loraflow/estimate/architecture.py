"""Finds a model's config.json, which is all that an estimate reads, without its weights."""

from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from loraflow.config import ModelConfig, QuantizationConfig
from loraflow.errors import UserError
from loraflow.model.source import BaseModel, find_base, folder_at_hand


def find_architecture(model: ModelConfig, quantization: QuantizationConfig) -> BaseModel:
    """Return the base model, of which only config.json is sure to be there.

    Of a hub's model that is not on this disk config.json alone is fetched. A GGUF file holds shapes
    and weights together, so it is fetched and converted whole, as a run would do it.

    Raises:
        UserError: if it cannot be had.
    """
    folder = folder_at_hand(model)
    if folder is None and model.source == "hub":
        folder = _fetch_config(model)
    if folder is None:
        return find_base(model, quantization)
    return BaseModel(model.location, folder, "", model.trust_remote_code, quantization)


def _fetch_config(model: ModelConfig) -> Path:
    code = ["*.py"] if model.trust_remote_code else []
    try:
        folder = snapshot_download(
            model.location, revision=model.revision, allow_patterns=["config.json", *code]
        )
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise UserError(
            f"model.location={model.location} is not on this disk, and its config.json cannot be "
            "had from the hub; check the name and the network, or put the file into a folder: "
            "model=folder model.location=PATH"
        ) from error
    return Path(folder)
