"""Accuracy and macro precision, recall and F1 of labels, as scikit-learn computes them."""

from typing import Any

import evaluate
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from loraflow.evaluate.metrics.features import of_texts


class Classification(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """Scores of a set of labels, 0 to 1; macro: every label counts alike, however rare."""

    def _info(self) -> evaluate.MetricInfo:
        return of_texts(__doc__, "https://scikit-learn.org/stable/modules/model_evaluation.html")

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        """Return the scores, and what each answer is worth; a label never given has precision 0."""
        precision, recall, f1, _ = precision_recall_fscore_support(
            references, predictions, average="macro", zero_division=0
        )
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
            "correct": [
                float(one == other) for one, other in zip(predictions, references, strict=True)
            ],
        }
