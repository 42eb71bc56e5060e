"""Whether an answer is the reference, apart from spaces and forms of the same character."""

import unicodedata
from typing import Any

import evaluate

from loraflow.evaluate.metrics.features import of_texts


class ExactMatch(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """1.0 or 0.0 an answer; full-width forms count as their plain ones (Unicode NFKC)."""

    def _info(self) -> evaluate.MetricInfo:
        return of_texts(__doc__, "https://unicode.org/reports/tr15")

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        """Return a score an answer."""
        pairs = zip(predictions, references, strict=True)
        return {"exact_match": [float(_plain(one) == _plain(other)) for one, other in pairs]}


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).split())
