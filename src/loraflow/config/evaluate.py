"""What is measured, and who judges it."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.config.model import ModelConfig
from loraflow.config.values import STRICT, PositiveFloat, PositiveInt, Text, Texts


@dataclass(frozen=True, config=STRICT)
class MtBenchConfig:
    """Two-turn questions that a judge grades, as MT-Bench has them (arXiv:2306.05685)."""

    questions: Texts
    per_category: PositiveInt | None  # the first so many of each category; null: all
    max_new_tokens: PositiveInt  # an answer is cut here
    games: bool  # base against tuned too, each pair of answers in both orders


@dataclass(frozen=True, config=STRICT)
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


@dataclass(frozen=True, config=STRICT)
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


@dataclass(frozen=True, config=STRICT)
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
