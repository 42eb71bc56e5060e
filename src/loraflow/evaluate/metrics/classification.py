"""Accuracy and macro precision, recall and F1 of labels, as scikit-learn computes them."""

import datasets
import evaluate
from sklearn.metrics import accuracy_score, precision_recall_fscore_support


class Classification(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """Scores of a set of labels, 0 to 1; macro: every label counts alike, however rare."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://scikit-learn.org/stable/modules/model_evaluation.html",
            inputs_description="predictions and references: lists of strings of the same length",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        """Return the scores; a label that is never given has precision 0."""
        precision, recall, f1, _ = precision_recall_fscore_support(
            references, predictions, average="macro", zero_division=0
        )
        return {
            "accuracy": float(accuracy_score(references, predictions)),
            "precision": float(precision),
            "recall": float(recall),
            "f1": float(f1),
        }
