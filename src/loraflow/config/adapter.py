"""What is trained beside the frozen base."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.config.values import STRICT, Fraction, Index, PositiveFloat, PositiveInt, Text

Method = Literal[
    "lora", "adalora", "ia3", "prefix", "prompt", "p_tuning", "full", "head_only", "none"
]
Initialisation = Literal["default", "gaussian", "pissa", "olora", "loftq", "eva"]


@dataclass(frozen=True, config=STRICT)
class AdapterConfig:
    """What is trained beside the frozen weights; names are those of PEFT."""

    method: Method  # loraflow.model.methods says what goes with what
    r: PositiveInt  # rank of the update (LoRA, arXiv:2106.09685)
    alpha: PositiveFloat  # sets the scale of the update, as alpha_mode says
    alpha_mode: Literal["fixed", "ratio", "rslora"]  # scale: alpha / r, alpha, alpha / sqrt(r)
    dropout: Fraction  # of the adapter's input, during training
    target_modules: Annotated[list[Text], Field(min_length=1)] | Text  # set, names, or one regex
    rank_pattern: dict[str, PositiveInt]  # module (end of its name, or regex) -> its own rank
    layers_to_transform: list[Index] | None  # numbers of layers; null: all
    init_lora_weights: Initialisation
    use_dora: bool  # magnitude and direction apart (arXiv:2402.09353)
    experts: Literal["all"] | list[Index] | None  # of a mixture of experts; null: none of them
    num_virtual_tokens: PositiveInt  # prefix, prompt and p_tuning
