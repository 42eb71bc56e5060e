"""What is exported: something trained, the base that it was trained on, and how it was asked."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from loraflow.config import Config, QuantizationConfig
from loraflow.data.records import Message
from loraflow.data.template import Template
from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.merge import require_mergeable
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer, stop_tokens
from loraflow.model.trained import adapter_of
from loraflow.serve.adapters.adapter import CONFIG, Adapter

_TURNS: tuple[Message, ...] = (
    {"role": "user", "content": "What is it called?"},
    {"role": "assistant", "content": "A name. 名字"},
    {"role": "user", "content": "你是谁？"},
    {"role": "assistant", "content": "家父是大理寺少卿。"},
    {"role": "user", "content": "Why?"},
)


@dataclass(frozen=True)
class Subject:
    """An adapter, or a whole model that was trained, with all that it takes to ask it."""

    adapter: Adapter
    config: Config  # of its training
    base: BaseModel  # held as in its training

    @property
    def source(self) -> str:
        """What it was asked for as; of a folder only the name, as others may read it."""
        source = self.adapter.source
        return source if self.adapter.run_id else Path(source).expanduser().resolve().name

    @property
    def trained(self) -> Path:
        """The folder with what was trained."""
        if self.adapter.folder is None:
            raise ValueError("the base alone is nothing that was trained")
        return self.adapter.folder

    @property
    def is_quantized(self) -> bool:
        """Tell whether the base had fewer bits in training than its files have."""
        return self.base.quantization.method != "none" and not self.adapter.is_whole_model

    @property
    def full_base(self) -> BaseModel:
        """The base as its files have it: float32 rounds neither bfloat16 nor float16."""
        return replace(self.base, quantization=QuantizationConfig("none", False, "float32"))

    @cached_property
    def peft_settings(self) -> dict[str, Any]:
        """PEFT's adapter_config.json; empty for a whole model."""
        folder = adapter_of(self.trained)
        return {} if folder is None else dict(read_json(folder / CONFIG))

    @cached_property
    def stop(self) -> list[int]:
        """Ids that end an answer."""
        return stop_tokens(self.base, load_tokenizer(self.base))

    @cached_property
    def template(self) -> Template:
        """The template of the training."""
        return Template(self.config.template, load_tokenizer(self.base), self.stop)

    def tokenizer(self) -> Tokenizer:
        """Return the base's tokenizer with the template of the training as its own."""
        tokenizer = load_tokenizer(self.base)
        tokenizer.chat_template = self.template.portable()
        return tokenizer

    def merges_turns(self) -> bool:
        """Tell whether plain `apply_chat_template` has other tokens for earlier turns.

        Where a tokenizer merges an answer with the mark before it, training keeps them apart, which
        no template can say.
        """
        tokenizer = self.tokenizer()
        plain = tokenizer.apply_chat_template(
            [dict(turn) for turn in _TURNS], add_generation_prompt=True, return_dict=True
        )
        return bool(plain["input_ids"] != self.template.prompt_ids(_TURNS))


def require_exportable(adapter: Adapter, config: Config, kind: str) -> None:
    """Refuse what cannot be exported as `kind`, before anything is loaded.

    Raises:
        UserError: says what it is, and what to do instead.
    """
    where = f"export.adapter={adapter.source}"
    if adapter.folder is None:
        raise UserError(
            f"{where} is the base alone, which is where it came from; name something trained: "
            "champion, version:N, run:ID or a folder"
        )
    if _is_classifier(adapter, config):
        raise UserError(
            f"{where} is a classifier, and only models that answer are exported: what its labels "
            "are called stands in no file that others read; use PEFT on the run's own adapter"
        )
    if adapter.is_whole_model and kind == "adapter":
        raise UserError(
            f"{where} is a whole model (adapter.method=full), so there is no adapter; "
            "set export=merged"
        )
    if kind != "adapter":
        require_mergeable(adapter.folder)


def _is_classifier(adapter: Adapter, config: Config) -> bool:
    if adapter.settings is not None:
        return config.train.task == "classify"
    folder = None if adapter.folder is None else adapter_of(adapter.folder)
    return folder is not None and read_json(folder / CONFIG).get("task_type") == "SEQ_CLS"
