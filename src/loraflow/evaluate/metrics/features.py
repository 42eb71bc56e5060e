"""What the metric modules take: pairs of texts, in the terms of Hugging Face `evaluate`."""

from typing import Any

import datasets
import evaluate


def of_texts(description: str | None, citation: str) -> Any:
    """Describe a metric of answers and references."""
    return described(
        description,
        citation,
        "predictions and references: lists of strings of the same length",
        {"predictions": datasets.Value("string"), "references": datasets.Value("string")},
    )


def described(description: str | None, citation: str, inputs: str, features: dict[str, Any]) -> Any:
    """Describe a metric of any features."""
    return evaluate.MetricInfo(
        description=description,
        citation=citation,
        inputs_description=inputs,
        features=datasets.Features(features),
    )
