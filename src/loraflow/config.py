"""The typed schema of `conf/`: names, types and limits live here, values live in YAML.

A section checks its own limits; `loraflow.check` reports every fault of a whole config at once.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

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


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


Column = Literal[  # what the layouts call their columns
    "answer",
    "answer_idx",
    "chosen",
    "choices",
    "completion",
    "context",
    "conversations",
    "history",
    "input",
    "instruction",
    "kto_tag",
    "label",
    "messages",
    "options",
    "output",
    "prompt",
    "question",
    "rejected",
    "response",
    "system",
    "target",
    "text",
    "tools",
]
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
class SplitConfig:
    """Which rows are kept apart, on which base and tuned model are compared."""

    held_out_rows: PositiveInt
    held_out_path: Text | None  # a file that is the held-out side; null: taken from the data
    stratify_by: Literal["source", "kind", "label"] | None  # the same shares on both sides
    seed: Seed  # apart from train.seed, so that all arms share the held-out rows


@dataclass(frozen=True, config=_STRICT)
class LeakConfig:
    """Training rows that give away what the model is tested on."""

    action: Literal["remove", "refuse", "report"]
    ngram: Annotated[int, Field(ge=5, strict=True)]  # words, or Chinese and Japanese characters
    min_share: Annotated[float, Field(gt=0, le=1)]  # of a text's n-grams, in one training row
    max_occurrences: PositiveInt  # an n-gram in more rows than this is a phrase, not a leak
    benchmarks: list[Text]  # files of test questions, e.g. MT-Bench's question.jsonl


@dataclass(frozen=True, config=_STRICT)
class DataConfig:
    """Instruction data, and what is kept of it."""

    path: Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list)] | None
    layout: Literal[
        "auto",
        "alpaca",
        "sharegpt",
        "messages",
        "prompt_completion",
        "question_answer",
        "openorca",
        "firefly",
        "text",
        "preference",
        "kto",
        "classify",
        "choice",
        "pydoc",
    ]
    columns: dict[Column, Text]  # the layout's name of a column -> the file's
    weights: list[PositiveFloat] | None  # shares of the paths in the training rows; null: all rows
    instruction: Text | None  # pydoc only: the instruction that every row carries
    learn: Literal["all", "last"]  # answers of a conversation that are learned
    clean: dict[str, dict[str, Any] | None]  # operators in order; null leaves one out
    max_reject_rate: Annotated[float, Field(gt=0, le=1)]  # more rows set aside than this: stop
    negatives: list[Literal["choices", "similar", "truncated", "shuffled"]]  # worse answers made
    train_rows: PositiveInt | None  # at most this many rows to train on; null: all
    min_train_rows: PositiveInt  # fewer after cleaning is an error
    split: SplitConfig
    leak: LeakConfig


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
    truncation: Literal["drop", "cut_prompt", "cut_answer", "proportional"]  # of longer rows
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
