"""What is measured: one model, base or tuned, and the held-out rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraflow.config import EvaluateConfig
from loraflow.data.records import Record
from loraflow.model.load import CausalLM, load_for_answers
from loraflow.model.source import BaseModel
from loraflow.train.loss import require_known_head


@dataclass(frozen=True)
class Arm:
    """A model and what it is asked."""

    settings: EvaluateConfig
    base: BaseModel
    trained: Path | None  # output of the stage train; None: the base as it is
    tokens: Path  # output of the stage tokenize
    records: Mapping[str, Record]  # held-out rows by id
    examples: Sequence[Mapping[str, Any]]  # the same rows as tokens

    def load_model(self) -> CausalLM:
        """Return the language model, ready to answer.

        Raises:
            UserError: if its output layer is not known, so that its losses would be wrong.
        """
        model = load_for_answers(self.base, self.trained)
        require_known_head(model)
        return model


@dataclass(frozen=True)
class Measured:
    """What came of it."""

    items: list[dict[str, Any]]  # one a held-out row
    metrics: dict[str, float]  # of all of them
    facts: Mapping[str, Any]  # what else belongs into result.json
