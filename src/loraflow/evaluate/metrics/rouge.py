"""ROUGE-1, -2 and -L F-measure as rouge_score computes it (Lin 2004), answer by answer."""

from importlib.metadata import version
from typing import Any

import evaluate
from rouge_score import rouge_scorer

from loraflow.evaluate.metrics.features import of_texts

TYPES = ["rouge1", "rouge2", "rougeL"]


class Rouge(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """F-measures, 0 to 1: a list a type, in the order of the answers."""

    def _info(self) -> evaluate.MetricInfo:
        return of_texts(__doc__, "https://aclanthology.org/W04-1013")

    def _compute(
        self, predictions: list[str], references: list[str], tokenizer: Any = None
    ) -> dict[str, Any]:
        """Score each answer, and sign with the tokenizer.

        `tokenizer` has a method `tokenize` and a `name`; None takes rouge_score's own.
        """
        scorer = rouge_scorer.RougeScorer(TYPES, tokenizer=tokenizer)
        scores = [
            scorer.score(reference, prediction)
            for reference, prediction in zip(references, predictions, strict=True)
        ]
        cut = "rouge_score" if tokenizer is None else tokenizer.name
        return {
            **{name: [score[name].fmeasure for score in scores] for name in TYPES},
            "signature": f"F|tok:{cut}|stem:no|version:{version('rouge-score')}",
        }
