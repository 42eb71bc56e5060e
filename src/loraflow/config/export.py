"""An export: what is made of a trained adapter for others to load, and how it is checked."""

from typing import Literal

from pydantic.dataclasses import dataclass

from loraflow.config.values import STRICT, PositiveInt, Text, UserPath

Kind = Literal["adapter", "merged", "gguf"]
Into = Literal["trained", "full"]
Precision = Literal["fp32", "bf16", "int8", "nf4"]


@dataclass(frozen=True, config=STRICT)
class ExportCheckConfig:
    """Prompts that the adapter and what was exported both answer."""

    prompts: UserPath | None  # a file of them; null: questions of the run's held-out rows
    rows: PositiveInt  # so many of them, the first
    max_new_tokens: PositiveInt  # an answer is cut here


@dataclass(frozen=True, config=STRICT)
class LicenceConfig:
    """What the card says of licences; null: what loraflow knows, else that it is unknown."""

    base: Text | None
    data: Text | None


@dataclass(frozen=True, config=STRICT)
class ExportConfig:
    """One export."""

    adapter: Text  # as AdapterFinder finds it
    registered: Text | None  # registered model whose aliases and versions are meant; null: none
    kind: Kind
    into: Into | None  # merged: the base as it was held in training, or in full precision
    precision: Precision | None  # of merged weights
    folder: UserPath  # of all exports
    name: Text | None  # of this one's folder in there; null: after the adapter and its kind
    check: ExportCheckConfig | None  # null: nothing is measured, and the card says so
    licence: LicenceConfig
    converter: UserPath | None  # llama.cpp's, or the folder it is in; null: the one on the PATH
