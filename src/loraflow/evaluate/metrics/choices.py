"""Multiple choice by likelihood: the option that the model finds likeliest is its answer."""

from typing import Any

import datasets
import evaluate

from loraflow.evaluate.metrics.features import described


class Choices(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """1.0 or 0.0 an item: by the options' log-likelihoods as they are, and per byte of the option.

    As acc and acc_norm of lm-evaluation-harness: a sum favours short options, a mean long ones.
    """

    def _info(self) -> evaluate.MetricInfo:
        numbers = datasets.Sequence(datasets.Value("float64"))
        return described(
            __doc__,
            "https://arxiv.org/abs/2405.14782",
            "predictions: log-likelihoods of each option, in nats; sizes: bytes of each option; "
            "references: the place of the right one",
            {"predictions": numbers, "sizes": numbers, "references": datasets.Value("int64")},
        )

    def _compute(
        self, predictions: list[list[float]], sizes: list[list[float]], references: list[int]
    ) -> dict[str, Any]:
        """Return the chosen places and whether they are right; of equals the first is chosen."""
        chosen = [_largest(values) for values in predictions]
        normalised = [
            _largest([value / size for value, size in zip(*pair, strict=True)])
            for pair in zip(predictions, sizes, strict=True)
        ]
        return {
            "chosen": chosen,
            "choice_correct": _right(chosen, references),
            "choice_correct_norm": _right(normalised, references),
        }


def _largest(values: list[float]) -> int:
    return max(range(len(values)), key=lambda place: values[place])


def _right(chosen: list[int], references: list[int]) -> list[float]:
    return [float(one == other) for one, other in zip(chosen, references, strict=True)]
