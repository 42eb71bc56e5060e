"""Renders messages the same way for training and for answering."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loraflow.config import TemplateConfig
from loraflow.data.records import Message
from loraflow.errors import UserError
from loraflow.model.tokenizer import Tokenizer

IGNORED = -100  # a label that the loss leaves out, as in transformers


@dataclass(frozen=True)
class Example:
    """Token ids, and at each position the id to learn or IGNORED."""

    input_ids: list[int]
    labels: list[int]


class Template:
    """A chat template bound to a tokenizer.

    A training example is the prompt's tokens followed by the answer's, each tokenized on its own,
    so what the model is asked with later is to the token what it was trained behind.
    """

    def __init__(self, template: TemplateConfig, tokenizer: Tokenizer) -> None:
        """Check that the template can be rendered with this model.

        Raises:
            UserError: if it is the model's own template and the model has none.
        """
        if template.chat_template is None and tokenizer.chat_template is None:
            raise UserError(
                f"template={template.name}: this model has no chat template of its own; "
                "choose another, e.g. template=alpaca"
            )
        self._template = template
        self._tokenizer = tokenizer
        adds_bos = tokenizer("a")["input_ids"][:1] == [tokenizer.bos_token_id]
        self._bos_token = tokenizer.bos_token if adds_bos else ""

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens that ask for the answer to `messages`."""
        return self._tokenize(self._render(messages, add_generation_prompt=True))

    def example(self, messages: Sequence[Message]) -> Example:
        """Return the tokens of a conversation; its last message and EOS are to be learned.

        Raises:
            UserError: if the template does not render the prompt as the beginning of the whole,
                or does not end an answer with the model's EOS token.
        """
        prompt = self._render(messages[:-1], add_generation_prompt=True)
        whole = self._render(messages, add_generation_prompt=False)
        if not whole.startswith(prompt):
            raise UserError(
                f"template={self._template.name} renders a prompt that is not the beginning of the "
                "conversation, so training and answering would differ; choose another template"
            )
        prompt_ids = self._tokenize(prompt)
        answer_ids = self._up_to_eos(self._tokenize(whole.removeprefix(prompt)))
        return Example(prompt_ids + answer_ids, [IGNORED] * len(prompt_ids) + answer_ids)

    def _up_to_eos(self, answer_ids: list[int]) -> list[int]:
        """Drop what a template prints after EOS, such as a line break: it is never generated."""
        eos = self._tokenizer.eos_token_id
        if eos not in answer_ids:
            raise UserError(
                f"template={self._template.name} does not end an answer with the model's EOS token "
                f"{self._tokenizer.eos_token!r}; add {{{{ eos_token }}}} behind the answer"
            )
        end = len(answer_ids) - answer_ids[::-1].index(eos)
        return answer_ids[:end]

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        options: dict[str, Any] = {}
        if self._template.chat_template is not None:
            options["chat_template"] = self._template.chat_template
            options["bos_token"] = self._bos_token  # only where the tokenizer itself would add it
        text: str = self._tokenizer.apply_chat_template(
            [dict(message) for message in messages],
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            **options,
        )
        return text

    def _tokenize(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def fit(example: Example, max_length: int) -> Example | None:
    """Cut the prompt from the left until the example fits; None if the answer alone is too long."""
    excess = len(example.input_ids) - max_length
    if excess <= 0:
        return example
    prompt_length = sum(label == IGNORED for label in example.labels)
    if excess >= prompt_length:
        return None
    return Example(example.input_ids[excess:], example.labels[excess:])
