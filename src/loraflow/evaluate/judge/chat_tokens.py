"""Tokens of what a local judge is asked, and of the answers behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

from loraflow.config import TemplateConfig
from loraflow.data.pieces import ANCHORS, tokenize_apart
from loraflow.data.records import Message
from loraflow.data.template import Refusal, Template
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, stop_tokens

# For a model without a chat template of its own.
_PLAIN = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'] + '\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ 'Question: ' + message['content'] + '\n\n' }}"
    "{% else %}{{ 'Answer: ' + message['content'] + '\n\n' }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}{{ 'Answer: ' }}{% endif %}"
)


@dataclass(frozen=True)
class Asked:
    """What the model is shown of an exchange."""

    context: list[int]  # all before what is measured
    answer: list[int]  # what is measured; empty where that is the next token
    cut: bool = False  # the question lost its beginning
    fits: bool = True  # else nothing can be measured, however much of the question is cut

    def __len__(self) -> int:
        """Count the tokens."""
        return len(self.context) + len(self.answer)


class ChatTokens:
    """A tokenizer that renders conversations as its model knows them."""

    def __init__(self, tokenizer: Tokenizer, base: BaseModel) -> None:
        """Take the model's own chat template, or a plain one."""
        own = tokenizer.chat_template is not None
        self._tokenizer = tokenizer
        config = TemplateConfig("native" if own else "plain", None if own else _PLAIN)
        self._template = Template(config, tokenizer, stop_tokens(base, tokenizer))

    def prompt_ids(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens that ask for the answer to `messages`.

        Where the template knows no system message, it comes first in the user's.
        """
        try:
            return self._template.prompt_ids(messages)
        except Refusal:
            if messages[0]["role"] != "system":
                raise
            system, user, *rest = messages
            joined = {**user, "content": f"{system['content']}\n\n{user['content']}"}
            return self._template.prompt_ids([joined, *rest])

    def unasked_ids(self) -> list[int]:
        """Return what stands before an answer to an empty question.

        At least one token, since the first token of a text has no probability.
        """
        first = (self._tokenizer.bos_token_id, self._tokenizer.eos_token_id)
        ids = self.prompt_ids([{"role": "user", "content": ""}])
        return ids or [next(token for token in first if token is not None)]

    def answer_ids(self, text: str, *, behind: str = ANCHORS[0]) -> list[int]:
        """Return the tokens of `text`, the same ones wherever it stands."""
        return tokenize_apart(self._tokenizer, text, (behind, *ANCHORS))

    def without_beginning(self, text: str, tokens: int) -> str:
        """Return the text without about so many of its first tokens."""
        kept: str = self._tokenizer.decode(self._ids(text)[tokens:])
        return kept.lstrip("\ufffd")  # half a character

    def keep_end(self, prompt: list[int], room: int) -> list[int]:
        """Return the last tokens of the prompt, behind its BOS token if it has one."""
        if len(prompt) <= room:
            return prompt
        head = prompt[:1] if prompt[0] == self._tokenizer.bos_token_id else []
        return head + prompt[len(prompt) - room + len(head) :]

    def text(self, ids: Sequence[int]) -> str:
        """Return what the tokens say, special ones too."""
        text: str = self._tokenizer.decode(ids)
        return text

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return ids
