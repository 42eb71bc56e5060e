"""Renders messages the same way for training and for answering."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from jinja2 import TemplateError

from loraflow.config import TemplateConfig
from loraflow.data.pieces import Piece, tokenize
from loraflow.data.records import Message, is_learned
from loraflow.errors import UserError
from loraflow.model.tokenizer import Tokenizer

IGNORED = -100  # a label that the loss leaves out, as in transformers

# What native templates would otherwise decide by themselves: today's date (Llama 3, gpt-oss), with
# which no run could be repeated, and whether a model thinks aloud before it answers (Qwen3, GLM).
_DATE = "26 Jul 2024"
_FIXED_DATE = "{%- macro strftime_now(format) -%}" + _DATE + "{%- endmacro -%}"
_FIXED = {"date_string": _DATE, "enable_thinking": False}

# Each answer costs a rendering of all that comes before it: without an end to it, a conversation
# of thousands of turns would take minutes.
_MOST_ANSWERS = 100


@dataclass(frozen=True)
class Example:
    """Token ids, and at each position the id to learn or IGNORED."""

    input_ids: list[int]
    labels: list[int]
    turns_not_learned: int = 0  # answers to learn that the template shows otherwise later on

    @property
    def answer_start(self) -> int | None:
        """Where the last learned answer begins: behind its whole prompt. None if there is none."""
        last = len(self.labels) - 1
        while last >= 0 and self.labels[last] == IGNORED:
            last -= 1
        start = last
        while start > 0 and self.labels[start - 1] != IGNORED:
            start -= 1
        return None if last < 0 else start


class Refusal(UserError):
    """The template cannot show this conversation, whatever it does with others."""


class Template:
    """A chat template bound to a tokenizer.

    A training example begins, before each answer that it learns, with the very tokens that later
    ask for that answer: where the tokenizer would merge across the border, both sides are tokenized
    apart. Which answers are learned changes labels, never tokens.
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
        prompt = self._render(messages, add_generation_prompt=True)
        (tokens,) = tokenize(self._tokenizer, [list(self._cut(messages, prompt))])
        return list(chain.from_iterable(tokens))

    def example(self, messages: Sequence[Message]) -> Example:
        """Return the tokens of a conversation; the answers to learn, with their ends, are labelled.

        What comes behind the last of them is left out. The very first token is never learned, since
        there is nothing to tell it from.

        Raises:
            UserError: if the template does not render the prompt as the beginning of the whole,
                or does not end an answer with the model's EOS token.
        """
        (example,) = self.examples([messages])
        if isinstance(example, Refusal):
            raise example
        return example

    def examples(self, conversations: Sequence[Sequence[Message]]) -> list[Example | Refusal]:
        """Return what `example` would, with a refusal in place of an example; tokenize at once."""
        wholes = [_up_to_learned(messages) for messages in conversations]
        cut = [self._cut_whole(messages) for messages in wholes]
        tokens = iter(
            tokenize(self._tokenizer, [pieces for pieces in cut if isinstance(pieces, list)])
        )
        return [
            pieces if isinstance(pieces, Refusal) else self._label(messages, pieces, next(tokens))
            for messages, pieces in zip(wholes, cut, strict=True)
        ]

    def answer_ids(self, messages: Sequence[Message], texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each text as the answer to `messages`, but for the answer's end.

        They are those that training learns: some templates put a space before an answer.

        Raises:
            UserError: if the template does not render the prompt as the beginning of the whole.
        """
        answers = [{"role": "assistant", "content": text} for text in texts]
        cut = [self._cut_whole([*messages, answer]) for answer in answers]
        for refusal in cut:
            if isinstance(refusal, Refusal):
                raise refusal
        tokens = tokenize(self._tokenizer, [pieces for pieces in cut if isinstance(pieces, list)])
        return [ids[: self._end(ids) - 1] if self._end(ids) else ids for *_, ids in tokens]

    def shows_raw_text(self) -> bool:
        """Tell whether an answer to nothing is shown as its bare text, as pre-training needs it."""
        try:
            prompt = self._render([], add_generation_prompt=True)
            whole = self._render([{"role": "assistant", "content": "a"}])
        except Refusal:
            return False
        return prompt in ("", self._tokenizer.bos_token) and whole.startswith(f"{prompt}a")

    def portable(self) -> str:
        """Return a chat template that needs nothing from here to render the same.

        With it, `apply_chat_template` of a tokenizer gives what `prompt_ids` does, but for answers
        of earlier turns that the tokenizer merges with what stands before them.
        """
        text = self._chat_template.lstrip()  # as _render, which puts a macro before it
        parts = [_FIXED_DATE] if "strftime_now" in text else []
        parts += [
            f"{{%- if {name} is not defined -%}}{{%- set {name} = {_literal(value)} -%}}"
            "{%- endif -%}"
            for name, value in _FIXED.items()
            if name in text
        ]
        if self._template.chat_template is not None and "bos_token" in text:
            parts.append(f"{{%- set bos_token = {_literal(self._bos_token)} -%}}")
        return "".join([*parts, text])

    def _cut_whole(self, messages: Sequence[Message]) -> list[Piece] | Refusal:
        """Cut a rendered conversation that ends with a learned answer; without one, nothing."""
        if not messages:
            return []
        try:
            prompt = self._render(messages[:-1], add_generation_prompt=True)
            whole = self._render(messages)
        except Refusal as refusal:
            return refusal
        if not whole.startswith(prompt):
            return Refusal(
                f"template={self._template.name} renders a prompt that is not the beginning of the "
                "conversation, so training and answering would differ; choose another template"
            )
        answer = Piece(whole.removeprefix(prompt), learned=True)
        return [*self._cut(messages[:-1], prompt), answer]

    def _cut(self, messages: Sequence[Message], prompt: str) -> Iterator[Piece]:
        """Cut a prompt where earlier answers begin and end, so far as it shows them as they were.

        Where it does not (Qwen3 takes the thoughts out of earlier turns), an answer stays uncut.
        """
        answers = [index for index, part in enumerate(messages) if part["role"] == "assistant"]
        done = 0
        for index in answers[-_MOST_ANSWERS:]:
            try:
                asked = self._render(messages[:index], add_generation_prompt=True)
                answered = self._render(messages[: index + 1])
            except Refusal:
                continue
            start, end = len(asked), len(answered)
            if done <= start < end and answered.startswith(asked) and prompt.startswith(answered):
                yield Piece(prompt[done:start])
                yield Piece(prompt[start:end], is_learned(messages[index]))
                done = end
        yield Piece(prompt[done:])

    def _label(
        self, messages: Sequence[Message], pieces: list[Piece], tokens: list[list[int]]
    ) -> Example:
        if not pieces:
            return Example([], [])
        ends = [
            self._end(ids) if piece.learned else 0
            for piece, ids in zip(pieces, tokens, strict=True)
        ]
        if not ends[-1]:
            names = ", ".join(map(repr, self._tokenizer.convert_ids_to_tokens(self._stop)))
            raise UserError(
                f"template={self._template.name} does not end an answer with {names}, so the model "
                "would never learn to stop; add {{ eos_token }} behind the answer"
            )
        tokens = [*tokens[:-1], tokens[-1][: ends[-1]]]
        labels: list[int] = []
        for ids, end in zip(tokens, ends, strict=True):
            labels += ids[:end] + [IGNORED] * (len(ids) - end)
        labels[0] = IGNORED
        missed = sum(map(is_learned, messages)) - sum(end > 0 for end in ends)
        return Example(list(chain.from_iterable(tokens)), labels, missed)

    def _end(self, ids: list[int]) -> int:
        """Return the size of an answer up to its end, 0 without one.

        What a template prints behind the end, such as a line break, is never written by the model.
        """
        return next((size for size in range(len(ids), 0, -1) if ids[size - 1] in self._stop), 0)

    def _render(self, messages: Sequence[Message], *, add_generation_prompt: bool = False) -> str:
        options: dict[str, Any] = dict(_FIXED)
        if self._template.chat_template is not None:
            options["bos_token"] = self._bos_token  # only where the tokenizer itself would add it
        plain = [{"role": part["role"], "content": part["content"]} for part in messages]
        try:
            texts: list[str] = self._tokenizer.apply_chat_template(
                [plain],  # a list of conversations, since a single one must not be empty
                chat_template=_FIXED_DATE + self._chat_template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **options,
            )
        except TemplateError as error:
            roles = ", ".join(part["role"] for part in messages)
            raise Refusal(
                f"template={self._template.name} cannot render a conversation of "
                f"{roles:.200}: {error}; change the data or choose another template"
            ) from error
        return texts[0]


def _literal(value: Any) -> str:
    """Return a value in Jinja's grammar."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _up_to_learned(messages: Sequence[Message]) -> Sequence[Message]:
    learned = [index for index, message in enumerate(messages) if is_learned(message)]
    return messages[: learned[-1] + 1] if learned else ()
