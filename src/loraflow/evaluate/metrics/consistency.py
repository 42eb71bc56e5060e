"""Self-consistency: how alike the answers are that a model draws for one question."""

from itertools import combinations
from typing import Any

import datasets
import evaluate
from rouge_score import rouge_scorer

from loraflow.evaluate.metrics.features import described


class Consistency(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """Mean ROUGE-L between the answers to each question, two by two: 1 is always the same."""

    def _info(self) -> evaluate.MetricInfo:
        samples = {"predictions": datasets.Sequence(datasets.Value("string"))}
        return described(__doc__, "", "predictions: a list of answers for each question", samples)

    def _compute(self, predictions: list[list[str]], tokenizer: Any = None) -> dict[str, Any]:
        """Return a likeness, 0 to 1, for each question."""
        scorer = rouge_scorer.RougeScorer(["rougeL"], tokenizer=tokenizer)

        def likeness(samples: list[str]) -> float:
            pairs = list(combinations(samples, 2))
            equal = (1.0 if one == other else _rouge(scorer, one, other) for one, other in pairs)
            return sum(equal) / len(pairs)

        return {"self_consistency": [likeness(samples) for samples in predictions]}


def _rouge(scorer: Any, one: str, other: str) -> float:
    return float(scorer.score(one, other)["rougeL"].fmeasure)
