"""Reading: how much likelier an answer is behind its question than by itself."""

from collections.abc import Sequence

from loraflow.evaluate.branches import Branched, likelihoods
from loraflow.evaluate.judge.base import Exchange
from loraflow.evaluate.judge.chat_tokens import Asked, ChatTokens
from loraflow.model.load import CausalLM

_LEAST_CONTEXT = 32  # tokens of a question that must be left for it to count as asked


class Information:
    """log p(answer | question) - log p(answer), in nats: what the two say of each other.

    An answer by itself stands behind an empty question, so that only the question makes the
    difference. The answers of earlier turns are context. The end of an answer is not measured, so
    an empty one has exactly 0.
    """

    def __init__(self, model: CausalLM, chat: ChatTokens, window: int | None) -> None:
        """Take the model and the most tokens that it can see."""
        self._model = model
        self._chat = chat
        self._window = window
        self._unasked = chat.unasked_ids()

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
        """Return the nats of each; a context that several share is read once."""
        without = self._nats([self._unasked] * len(batch), batch)
        behind = self._nats([asked.context for asked in batch], batch)
        return [some - none for some, none in zip(behind, without, strict=True)]

    def _nats(self, contexts: Sequence[list[int]], batch: Sequence[Asked]) -> list[float]:
        """Return the log-likelihood of each answer behind its context."""
        places: dict[tuple[int, ...], list[int]] = {}
        for place, context in enumerate(contexts):
            places.setdefault(tuple(context), []).append(place)
        asked = [
            Branched(list(context), [batch[place].answer for place in of])
            for context, of in places.items()
        ]
        found = likelihoods(self._model, asked, "")
        by_place = {
            place: nats
            for of, row in zip(places.values(), found, strict=True)
            for place, nats in zip(of, row, strict=True)
        }
        return [by_place[place] for place in range(len(batch))]


def _messages(exchange: Exchange) -> list[dict[str, str]]:
    """Return the conversation up to the last question."""
    messages = [{"role": "user", "content": exchange.questions[0]}]
    for answer, question in zip(exchange.answers, exchange.questions[1:], strict=False):
        messages += [
            {"role": "assistant", "content": answer},
            {"role": "user", "content": question},
        ]
    return messages
