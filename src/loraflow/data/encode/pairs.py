"""Encodes preference pairs: a better and a worse answer behind the very same prompt tokens."""

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import pyarrow as pa

from loraflow.config import TemplateConfig, TrainConfig
from loraflow.data.encode.base import Encoded, Encoder
from loraflow.data.records import Fault, Message, Record
from loraflow.data.tables import Row
from loraflow.data.template import Example, Refusal, Template
from loraflow.data.truncate import truncate_pair
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, stop_tokens


class PairEncoder(Encoder):
    """Puts the rejected answer into columns of its own; only the last answers are labelled."""

    columns = (
        ("rejected_ids", pa.list_(pa.int32())),
        ("rejected_labels", pa.list_(pa.int32())),
    )
    reasons: ClassVar[Mapping[str, str]] = {
        "max_length": "too_long",
        "template": "not_rendered",
        "not_a_pair": "not_a_pair",
    }
    advice: ClassVar[Mapping[str, str]] = {
        "not_a_pair": "train.task=preference learns from pairs of a better and a worse answer, and "
        "no {side} row is one; data.negatives=[similar,truncated] makes pairs of questions and "
        "answers, train=sft learns the answers alone"
    }

    def __init__(
        self, template: TemplateConfig, train: TrainConfig, base: BaseModel, tokenizer: Tokenizer
    ) -> None:
        """Bind the template to the base model's tokenizer."""
        self._template = Template(template, tokenizer, stop_tokens(base, tokenizer))
        self._template_name = template.name
        self._train = train
        self._bos: int | None = tokenizer.bos_token_id

    def encode(self, rows: Sequence[Row]) -> list[Encoded]:
        """Return both answers of each pair; rows of another kind are no pair."""
        pairs = [_conversations(row.record) for row in rows if _is_pair(row.record)]
        examples = iter(self._template.examples([side for pair in pairs for side in pair]))
        return [self._encode(row.record, examples) for row in rows]

    def _encode(self, record: Record, examples: Iterator[Example | Refusal]) -> Encoded:
        if not _is_pair(record):
            return Encoded(fault=Fault(f"kind {record.kind}", "chosen and rejected", "not_a_pair"))
        chosen, rejected = next(examples), next(examples)
        if isinstance(chosen, Refusal):
            return Encoded(fault=self._not_shown(str(chosen)))
        if isinstance(rejected, Refusal):
            return Encoded(fault=self._not_shown(str(rejected)))
        return self._fit(chosen, rejected)

    def _fit(self, chosen: Example, rejected: Example) -> Encoded:
        if chosen.input_ids == rejected.input_ids:
            return Encoded(fault=Fault("two equal answers", "different tokens", "not_a_pair"))
        if not _share_prompt(chosen, rejected):
            shown = Fault(
                "two prompts", f"one prompt by template={self._template_name}", "template"
            )
            return Encoded(fault=shown)
        longest = max(len(chosen.labels), len(rejected.labels))
        limit, policy = self._train.max_length, self._train.truncation
        keep = int(chosen.input_ids[0] == self._bos)
        fitting = truncate_pair(chosen, rejected, limit, policy=policy, keep=keep)
        if fitting is None:
            return Encoded(fault=Fault(longest, limit, "max_length"), tokens=longest)
        better, worse = fitting
        example = {
            "input_ids": better.input_ids,
            "labels": better.labels,
            "rejected_ids": worse.input_ids,
            "rejected_labels": worse.labels,
        }
        return Encoded([example], tokens=longest, cut=longest > limit)

    def _not_shown(self, why: str) -> Fault:
        return Fault(why, f"template={self._template_name}", "template")


def _is_pair(record: Record) -> bool:
    return record.kind == "preference" and record.rejected is not None


def _conversations(record: Record) -> tuple[list[Message], list[Message]]:
    """Return the prompt with each of both answers; earlier answers are context."""
    asked: list[Message] = [{**message, "learn": False} for message in record.prompt]
    return (
        [*asked, {"role": "assistant", "content": record.answer}],
        [*asked, {"role": "assistant", "content": record.rejected}],
    )


def _share_prompt(chosen: Example, rejected: Example) -> bool:
    start = chosen.answer_start
    same = chosen.input_ids[:start] == rejected.input_ids[:start]
    return start is not None and start == rejected.answer_start and same
