"""ROUGE-1, -2 and -L F-measure as rouge_score computes it (Lin 2004), answer by answer."""

from typing import Any

import datasets
import evaluate
from rouge_score import rouge_scorer

TYPES = ["rouge1", "rouge2", "rougeL"]


class Rouge(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """F-measures, 0 to 1: a list a type, in the order of the answers."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://aclanthology.org/W04-1013",
            inputs_description="predictions and references: lists of strings of the same length",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(
        self, predictions: list[str], references: list[str], tokenizer: Any = None
    ) -> dict[str, list[float]]:
        """Score each answer; `tokenizer` has a method `tokenize`, None takes rouge_score's own."""
        scorer = rouge_scorer.RougeScorer(TYPES, tokenizer=tokenizer)
        scores = [
            scorer.score(reference, prediction)
            for reference, prediction in zip(references, predictions, strict=True)
        ]
        return {name: [score[name].fmeasure for score in scores] for name in TYPES}
