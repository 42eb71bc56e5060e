"""The base model: where it is found, and how it is held."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.config.values import STRICT, Text, UserPath


@dataclass(frozen=True, config=STRICT)
class ModelConfig:
    """The frozen base model and where it is found."""

    name: Text  # what the run is called after
    source: Literal["pypi", "hub", "folder", "gguf"]
    location: Text  # pypi: requirement, hub: repository id, folder and gguf: path
    file: str | None  # the GGUF inside a PyPI wheel
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None  # checked before use
    revision: str | None  # branch, tag or commit of a hub repository
    trust_remote_code: bool  # runs Python code that comes with the model: only by name
    cache: UserPath  # folder for downloaded and converted models, shared between projects


@dataclass(frozen=True, config=STRICT)
class QuantizationConfig:
    """How the frozen base is held in memory (QLoRA, arXiv:2305.14314)."""

    method: Literal["none", "int8", "nf4", "fp4"]
    double_quant: bool  # quantizes the quantization constants as well: 0.4 bit a weight less
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"]  # of matrix products
