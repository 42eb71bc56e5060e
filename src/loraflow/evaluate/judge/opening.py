"""Makes the judge that the config names, ready to be asked."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from loraflow.config import JudgeConfig
from loraflow.evaluate.judge.base import Judge
from loraflow.evaluate.judge.local import LocalJudge, Reading
from loraflow.evaluate.judge.openai import OpenAIJudge
from loraflow.evaluate.judge.prompts import Prompts, load_prompts
from loraflow.evaluate.judge.scale import Scale
from loraflow.model.lend import ModelLender
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer

READINGS: tuple[Reading, ...] = ("information", "rating")
_BATCH = {"rating": 8, "information": 56}  # answers read at once: of eight rows of a card


class Bench:
    """Where judges sit: what it takes to have one, with the base loaded once for all."""

    def __init__(
        self, config: JudgeConfig, base: BaseModel | None, lender: ModelLender, *, name: str
    ) -> None:
        """Take the base that judges, which only a local judge needs, and what it is called."""
        self._config = config
        self._base = base
        self._name = name
        self._lender = lender
        self._prompts = _prompts(config)

    @property
    def is_base(self) -> bool:
        """Tell whether the model that judges is the base that is measured."""
        return self._config.kind == "local" and self._config.model is None

    @property
    def reference_judge(self) -> str | None:
        """Return under which judge's name reference answers are looked up; None: under nobody's."""
        return None if self._config.api is None else self._config.api.model

    def readings(self) -> tuple[str, ...]:
        """Return the ways in which the judge could read answers; one for an endpoint."""
        if self._config.kind == "openai":
            return ("written",)
        return READINGS if self._config.reading == "auto" else (self._config.reading,)

    @contextmanager
    def judge(self, reading: str, scale: Scale | None) -> Iterator[Judge]:
        """Yield the judge; `scale` puts a reading that gives no ratings on the scale from 1 to 10.

        Raises:
            UserError: for an endpoint or a key that cannot be right.
        """
        if self._config.kind == "openai":
            if self._config.api is None:
                raise ValueError("judge.kind='openai' has no judge.api; the config check missed it")
            yield OpenAIJudge(self._config.api, self._prompts)
            return
        if self._base is None:
            raise ValueError("judge.kind='local' has no base; the caller has to find one")
        with self._lender.lend(self._base, None) as model:
            yield LocalJudge(
                model,
                load_tokenizer(self._base),
                self._base,
                reading="rating" if reading == "rating" else "information",
                batch_size=_BATCH[reading],
                scale=scale,
                name=f"{self._name} {reading}",
                prompts=self._prompts,
            )


def _prompts(config: JudgeConfig) -> Prompts:
    return load_prompts(None if config.prompts is None else Path(config.prompts))


def usage_of(judge: Judge) -> dict[str, Any]:
    """Return what an endpoint's judgments have cost so far; nothing for a local judge."""
    usage = getattr(judge, "usage", None)
    return {} if usage is None else {"usage": vars(usage)}
