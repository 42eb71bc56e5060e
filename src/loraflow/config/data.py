"""The data: what is read, cleaned, kept apart, and how messages become text."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.config.values import STRICT, PositiveFloat, PositiveInt, Seed, Text, Texts

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


@dataclass(frozen=True, config=STRICT)
class SplitConfig:
    """Which rows are kept apart, on which base and tuned model are compared."""

    held_out_rows: PositiveInt
    held_out_path: Text | None  # a file that is the held-out side; null: taken from the data
    stratify_by: Literal["source", "kind", "label"] | None  # the same shares on both sides
    seed: Seed  # apart from train.seed, so that all arms share the held-out rows


@dataclass(frozen=True, config=STRICT)
class LeakConfig:
    """Training rows that give away what the model is tested on."""

    action: Literal["remove", "refuse", "report"]
    ngram: Annotated[int, Field(ge=5, strict=True)]  # words, or Chinese and Japanese characters
    min_share: Annotated[float, Field(gt=0, le=1)]  # of a text's n-grams, in one training row
    max_occurrences: PositiveInt  # an n-gram in more rows than this is a phrase, not a leak
    benchmarks: list[Text]  # files of test questions, e.g. MT-Bench's question.jsonl


@dataclass(frozen=True, config=STRICT)
class DataConfig:
    """Instruction data, and what is kept of it."""

    path: Texts | None
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
        "records",
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


@dataclass(frozen=True, config=STRICT)
class TemplateConfig:
    """How messages become text."""

    name: Text
    chat_template: str | None  # Jinja, as in transformers; null: the model's own
