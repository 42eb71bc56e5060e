"""Reading: the mean of the ratings that a model would give, weighted by their probabilities."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from loraflow.errors import UserError
from loraflow.evaluate.judge.base import Exchange
from loraflow.evaluate.judge.chat_tokens import Asked, ChatTokens
from loraflow.evaluate.judge.prompts import Prompts, prompt_name
from loraflow.evaluate.judge.ratings import HIGHEST
from loraflow.model.load import CausalLM
from loraflow.train.packing import pad

START = "Rating: [["  # of the judge's answer, written for it

_SPARE = 8  # tokens more than are too many: a text cut anew may be tokenized otherwise


class ExpectedRating:
    """The expected value of the rating behind `START`, from 1 to 10.

    The model explains nothing before: what it would write first is left out.
    """

    def __init__(
        self, model: CausalLM, chat: ChatTokens, window: int | None, prompts: Prompts
    ) -> None:
        """Find the tokens of the ratings.

        Raises:
            UserError: if the tokenizer has no token of its own for a digit.
        """
        self._model = model
        self._chat = chat
        self._window = window
        self._prompts = prompts
        self._start = chat.answer_ids(START)
        self._digits = [_only(chat.answer_ids(str(n), behind=START)) for n in range(1, HIGHEST)]
        ten = chat.answer_ids(str(HIGHEST), behind=START)
        self._ten = ten[0] if len(ten) == 1 else None
        self._zero = _only(chat.answer_ids("0", behind=f"{START}1"))

    def prepare(self, exchange: Exchange) -> Asked:
        """Return the tokens, questions cut from the left, the first one first, if too many."""
        context = self._ids(exchange)
        questions = list(exchange.questions)
        for place in range(len(questions)):
            if (over := self._over(context)) <= 0:
                break
            questions[place] = self._chat.without_beginning(questions[place], over + _SPARE)
            context = self._ids(replace(exchange, questions=tuple(questions)))
        cut = tuple(questions) != exchange.questions
        return Asked(context, [], cut=cut, fits=self._over(context) <= 0)

    def measure(self, batch: Sequence[Asked]) -> list[float]:
        """Return the expected rating of each."""
        rows = [[*asked.context, self._digits[0]] for asked in batch]
        inputs = pad([(ids, ids) for ids in rows], padding=0)
        del inputs["labels"]
        ends = [(len(ids) - 2, len(ids) - 1) for ids in rows]  # before and behind "1"
        kept = sorted({end for pair in ends for end in pair})  # so that few logits exist
        places = torch.tensor([[kept.index(end) for end in pair] for pair in ends])
        device = self._model.device
        with torch.inference_mode():
            logits = self._model(
                **{name: value.to(device) for name, value in inputs.items()},
                logits_to_keep=torch.tensor(kept, device=device),
                use_cache=False,
            ).logits
        wanted = logits[torch.arange(len(rows))[:, None], places].float().softmax(-1).double()
        return [self._expected(*of_row) for of_row in wanted.cpu()]

    def _expected(self, first: torch.Tensor, second: torch.Tensor) -> float:
        """Return the mean rating by the probabilities of the next token and of that behind "1"."""
        shares = first[self._digits]
        if self._ten is None:  # 10 is "1" with "0" behind it, 1 is "1" with anything else
            ten = shares[0] * second[self._zero]
            shares[0] -= ten
        else:
            ten = first[self._ten]
        shares = torch.cat([shares, ten[None]])
        ratings = torch.arange(1, HIGHEST + 1, dtype=shares.dtype)
        return float((shares * ratings).sum() / shares.sum())

    def _ids(self, exchange: Exchange) -> list[int]:
        system, user = self._prompts[prompt_name(exchange)].render(exchange)
        messages = [{"role": "user", "content": user}]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        return self._chat.prompt_ids(messages) + self._start

    def _over(self, context: list[int]) -> int:
        """Count the tokens that are too many; one more is put behind the context."""
        return 0 if self._window is None else len(context) + 1 - self._window


def _only(ids: list[int]) -> int:
    if len(ids) != 1:
        raise UserError(
            "judge.reading=rating needs a tokenizer with a token for each digit, which this model "
            "has not; set judge.reading=information, or choose another judge.model"
        )
    return ids[0]
