"""Renders messages the same way for training and for answering."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError

from loraflow.config import TemplateConfig
from loraflow.data.records import Message
from loraflow.errors import UserError
from loraflow.model.tokenizer import Tokenizer

IGNORED = -100  # a label that the loss leaves out, as in transformers

# What native templates would otherwise decide by themselves: today's date (Llama 3, gpt-oss), with
# which no run could be repeated, and whether a model thinks aloud before it answers (Qwen3, GLM).
_DATE = "26 Jul 2024"
_FIXED_DATE = "{%- macro strftime_now(format) -%}" + _DATE + "{%- endmacro -%}"
_FIXED = {"date_string": _DATE, "enable_thinking": False}


@dataclass(frozen=True)
class Example:
    """Token ids, and at each position the id to learn or IGNORED."""

    input_ids: list[int]
    labels: list[int]


class Template:
    """A chat template bound to a tokenizer.

    A training example begins with the very tokens that later ask for the answer: where the
    tokenizer would merge across the border, prompt and answer are tokenized apart.
    """

    def __init__(self, template: TemplateConfig, tokenizer: Tokenizer, stop: list[int]) -> None:
        """Check that the template can be rendered with this model; `stop` ids end an answer.

        Raises:
            UserError: if it is the model's own template and the model has none.
        """
        if template.chat_template is None and tokenizer.chat_template is None:
            raise UserError(
                f"template={template.name}: this model has no chat template of its own; "
                "choose another, e.g. template=alpaca"
            )
        self._template = template
        self._chat_template = template.chat_template or tokenizer.get_chat_template()
        self._tokenizer = tokenizer
        self._stop = stop
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
        prompt_ids, whole_ids = self.prompt_ids(messages[:-1]), self._tokenize(whole)
        if whole_ids[: len(prompt_ids)] == prompt_ids:
            answer_ids = whole_ids[len(prompt_ids) :]
        else:
            answer_ids = self._tokenize(whole.removeprefix(prompt))
        answer_ids = self._up_to_stop(answer_ids)
        return Example(prompt_ids + answer_ids, [IGNORED] * len(prompt_ids) + answer_ids)

    def _up_to_stop(self, answer_ids: list[int]) -> list[int]:
        """Drop what a template prints behind the end, such as a line break: it is never written."""
        ends = [index for index, token in enumerate(answer_ids) if token in self._stop]
        if not ends:
            names = ", ".join(map(repr, self._tokenizer.convert_ids_to_tokens(self._stop)))
            raise UserError(
                f"template={self._template.name} does not end an answer with {names}, so the model "
                "would never learn to stop; add {{ eos_token }} behind the answer"
            )
        return answer_ids[: ends[-1] + 1]

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool) -> str:
        options: dict[str, Any] = dict(_FIXED)
        if self._template.chat_template is not None:
            options["bos_token"] = self._bos_token  # only where the tokenizer itself would add it
        try:
            text: str = self._tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                chat_template=_FIXED_DATE + self._chat_template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **options,
            )
        except TemplateError as error:
            raise UserError(
                f"template={self._template.name} cannot render a conversation of "
                f"{[message['role'] for message in messages]}: {error}; "
                "change the data or choose another template"
            ) from error
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
