"""Encodes conversations with the answers to learn, and raw text, all of which is learned."""

from collections.abc import Mapping, Sequence
from typing import ClassVar

from loraflow.config import TemplateConfig, TrainConfig
from loraflow.data.encode.base import Encoded, Encoder
from loraflow.data.records import Fault
from loraflow.data.tables import Row
from loraflow.data.template import Example, Refusal, Template
from loraflow.data.truncate import cut_windows, truncate
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, stop_tokens


class AnswerEncoder(Encoder):
    """Fills the chat template; the labels are the answers with their ends."""

    reasons: ClassVar[Mapping[str, str]] = {
        "max_length": "too_long",
        "template": "not_rendered",
        "nothing_learned": "nothing_learned",
        "undesirable": "undesirable",
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
        """Return an example of each row."""
        self._require_raw_text(rows)
        wholes = self._template.examples([row.record.messages for row in rows])
        return [self._encode(row, whole) for row, whole in zip(rows, wholes, strict=True)]

    def _encode(self, row: Row, whole: Example | Refusal) -> Encoded:
        tokens = len(whole.input_ids) if isinstance(whole, Example) else 0
        outcome = self._judge(row, whole)
        if isinstance(outcome, Fault):
            return Encoded(fault=outcome, tokens=tokens)
        return Encoded(
            [{"input_ids": part.input_ids, "labels": part.labels} for part in outcome],
            tokens=tokens,
            cut=len(outcome) == 1 and outcome[0] is not whole,
            turns_not_learned=outcome[0].turns_not_learned,
        )

    def _judge(self, row: Row, whole: Example | Refusal) -> list[Example] | Fault:
        """Return what is trained on, or why nothing is."""
        if row.record.kind == "kto" and row.record.label == "false":
            return Fault(row.record.label, "true", "undesirable")
        if isinstance(whole, Refusal):
            return Fault(str(whole), f"template={self._template_name}", "template")
        if whole.answer_start is None:
            return Fault("no answer to learn", "an answer", "nothing_learned")
        examples = self._cut(whole, keep=int(whole.input_ids[0] == self._bos))
        return examples or Fault(len(whole.labels), self._train.max_length, "max_length")

    def _cut(self, whole: Example, *, keep: int) -> list[Example]:
        policy = self._train.truncation
        example = truncate(whole, self._train.max_length, policy=policy, keep=keep)
        return [example] if example else []

    def _require_raw_text(self, rows: Sequence[Row]) -> None:
        """Refuse to teach a model to write documents as answers to an empty question."""
        text = next((row for row in rows if row.record.kind == "text"), None)
        if text and not self._template.shows_raw_text():
            raise UserError(
                f"template={self._template_name} is for conversations, but {text.place} is raw "
                "text (kind text), which has no question; set template=text"
            )


class DocumentEncoder(AnswerEncoder):
    """Encodes raw text alone; with train.truncation=windows, a long one in several examples."""

    reasons: ClassVar[Mapping[str, str]] = {**AnswerEncoder.reasons, "not_raw_text": "not_raw_text"}
    advice: ClassVar[Mapping[str, str]] = {
        "not_raw_text": "train.task=text reads raw text, and no {side} row is raw text; "
        "choose data=text for rows with a column `text`, or train=sft for questions and answers"
    }

    def _judge(self, row: Row, whole: Example | Refusal) -> list[Example] | Fault:
        if row.record.kind != "text":
            return Fault(f"kind {row.record.kind}", "raw text", "not_raw_text")
        return super()._judge(row, whole)

    def _cut(self, whole: Example, *, keep: int) -> list[Example]:
        if self._train.truncation == "windows":
            return cut_windows(whole, self._train.max_length, keep=keep)
        return super()._cut(whole, keep=keep)
