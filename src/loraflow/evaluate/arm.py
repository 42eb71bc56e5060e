"""What is measured: one model, base or tuned, and how it is had and asked."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraflow.config import EvaluateConfig, TemplateConfig
from loraflow.data.records import Message, Record
from loraflow.data.template import Template
from loraflow.evaluate.generate.prompt import Answer, Prompt
from loraflow.evaluate.generate.run import Speed, generate_answers
from loraflow.evaluate.journal import Journal
from loraflow.model.lend import ModelLender
from loraflow.model.load import CausalLM
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer, stop_tokens
from loraflow.train.loss import require_known_head


@dataclass(frozen=True)
class Arm:
    """A model, and how it is asked."""

    settings: EvaluateConfig
    template: TemplateConfig
    base: BaseModel
    trained: Path | None  # output of the stage train, or an adapter; None: the base as it is
    lender: ModelLender
    work: Path  # what is finished already; outlives an interruption

    @contextmanager
    def model(self) -> Iterator[CausalLM]:
        """Yield the language model, ready to answer.

        Raises:
            UserError: if its output layer is not known, so that its losses would be wrong.
        """
        with self.lender.lend(self.base, self.trained) as model:
            require_known_head(model)
            yield model

    def tokenizer(self) -> Tokenizer:
        """Return the base model's tokenizer."""
        return load_tokenizer(self.base)

    def chat(self, tokenizer: Tokenizer) -> Template:
        """Return what renders messages as training did."""
        return Template(self.template, tokenizer, stop_tokens(self.base, tokenizer))

    def ask(self, tokenizer: Tokenizer, messages: Sequence[Message]) -> list[int]:
        """Return the tokens that ask for the answer to `messages`, as training put them."""
        return self.chat(tokenizer).prompt_ids(messages)

    def answer(
        self, model: CausalLM, prompts: Sequence[Prompt], name: str = "answers"
    ) -> tuple[list[Answer], Speed]:
        """Answer prompts; those that an interrupted process finished are not answered again."""
        tokenizer = self.tokenizer()
        with Journal(self.work / f"{name}.jsonl") as journal:
            return generate_answers(
                model,
                tokenizer,
                prompts,
                batch_size=self.settings.batch_size,
                stop=stop_tokens(self.base, tokenizer),
                journal=journal,
            )


@dataclass(frozen=True)
class HeldOut:
    """The rows that an arm is measured on."""

    tokens: Path  # output of the stage tokenize
    records: Mapping[str, Record]  # by id
    examples: Sequence[Mapping[str, Any]]  # the same rows as tokens


@dataclass(frozen=True)
class Measured:
    """What came of it: the items say all, a metric is made of them by `compare.metrics`."""

    items: list[dict[str, Any]]  # one a held-out row
    facts: Mapping[str, Any]  # what else belongs into result.json
