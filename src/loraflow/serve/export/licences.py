"""What is known of licences; what is not known is said to be unknown, and never guessed."""

from collections.abc import Iterator

from loraflow.config import DataConfig, LicenceConfig, ModelConfig
from loraflow.serve.export.bases import hub_id

UNKNOWN = "unknown"  # also the identifier that the hub has for it

_OF_BASES = {  # id on the hub of those in conf/model/ whose makers state a licence
    "HuggingFaceTB/SmolLM2-135M-Instruct": "apache-2.0",
    "distilbert/distilbert-base-uncased": "apache-2.0",
    "Qwen/Qwen2.5-7B-Instruct": "apache-2.0",
}
_OF_LAYOUTS = dict.fromkeys(
    ("pydoc", "pydoc_topics"),
    "PSF License Agreement (documentation that comes with Python)",
)


def licence_of_base(model: ModelConfig, given: LicenceConfig) -> str:
    """Return the base's licence, as the hub spells it."""
    return given.base or _OF_BASES.get(hub_id(model) or "", UNKNOWN)


def licence_of_data(data: DataConfig, given: LicenceConfig) -> str:
    """Return the licence of the rows that were learned."""
    return given.data or _OF_LAYOUTS.get(data.layout, UNKNOWN)


def explain(model: ModelConfig, base: str, data: str) -> Iterator[str]:
    """Yield a sentence for each licence."""
    if base != UNKNOWN:
        yield f"Base model: {base}. It binds what was made of the base, so this model too."
    else:
        known = hub_id(model)
        place = "its source" if known is None else f"https://huggingface.co/{known}"
        yield (
            f"Base model: unknown. Look it up at {place}: it binds what was made of the base, so "
            "this model too."
        )
    if data != UNKNOWN:
        yield f"Training data: {data}."
    else:
        yield "Training data: unknown. Look it up where the data come from before you pass this on."
