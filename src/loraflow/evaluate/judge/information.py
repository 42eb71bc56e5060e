"""Reading: how much likelier an answer is behind its question than by itself."""

from collections.abc import Sequence

import torch

from loraflow.data.template import IGNORED
from loraflow.evaluate.judge.base import Exchange
from loraflow.evaluate.judge.chat_tokens import Asked, ChatTokens
from loraflow.model.load import CausalLM
from loraflow.train.loss import answer_losses
from loraflow.train.packing import Labelled, pad

_LEAST_CONTEXT = 32  # tokens of a question that must be left for it to count as asked


class Information:
    """log p(answer | question) - log p(answer), in nats: what the two say of each other.

    The answers of earlier turns are context. The end of an answer is not measured, so an empty one
    has exactly 0.
    """

    def __init__(self, model: CausalLM, chat: ChatTokens, window: int | None) -> None:
        """Take the model and the most tokens that it can see."""
        self._model = model
        self._chat = chat
        self._window = window

    def prepare(self, exchange: Exchange) -> Asked:
        """Return the tokens, the question cut from the left if they are too many."""
        prompt = self._chat.prompt_ids(_messages(exchange))
        answer = self._chat.answer_ids(exchange.answers[-1].strip())
        if self._window is None or not answer or len(prompt) + len(answer) <= self._window:
            return Asked(prompt, answer)
        room = self._window - len(answer)
        if room < min(len(prompt), _LEAST_CONTEXT):
            return Asked(prompt, answer, fits=False)
        return Asked(self._chat.keep_end(prompt, room), answer, cut=True)

    def measure(self, batch: Sequence[Asked]) -> list[float]:
        """Return the nats of each."""
        alone = [self._chat.opening_ids(asked.context) for asked in batch]
        without = self._losses([_labelled(o, a.answer) for o, a in zip(alone, batch, strict=True)])
        behind = self._losses([_labelled(asked.context, asked.answer) for asked in batch])
        return [
            none - some if asked.answer else 0.0
            for asked, none, some in zip(batch, without, behind, strict=True)
        ]

    def _losses(self, rows: list[Labelled]) -> list[float]:
        """Return the summed loss of the answer in each row."""
        batch = {name: value.to(self._model.device) for name, value in pad(rows, padding=0).items()}
        with torch.inference_mode():
            losses, places = answer_losses(self._model, batch)
        sums = losses.new_zeros(len(rows), dtype=torch.float64)
        return [float(loss) for loss in sums.index_add(0, places, losses.double())]


def _messages(exchange: Exchange) -> list[dict[str, str]]:
    """Return the conversation up to the last question."""
    messages = [{"role": "user", "content": exchange.questions[0]}]
    for answer, question in zip(exchange.answers, exchange.questions[1:], strict=False):
        messages += [
            {"role": "assistant", "content": answer},
            {"role": "user", "content": question},
        ]
    return messages


def _labelled(context: list[int], answer: list[int]) -> Labelled:
    return [*context, *answer], [IGNORED] * len(context) + answer
