"""How well references were foretold: loss, perplexity, bits per byte, token accuracy."""

import math
from typing import Any

import datasets
import evaluate

from loraflow.evaluate.metrics.features import described


class Likelihood(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """Numbers of a set and of each item; bits per byte compare models with other tokenizers."""

    def _info(self) -> evaluate.MetricInfo:
        whole = datasets.Value("int64")
        return described(
            __doc__,
            "",
            "predictions: nats of each reference; tokens, bytes: its size; hits: tokens foretold",
            {
                "predictions": datasets.Value("float64"),
                "tokens": whole,
                "bytes": whole,
                "hits": whole,
            },
        )

    def _compute(
        self, predictions: list[float], tokens: list[int], bytes: list[int], hits: list[int]
    ) -> dict[str, Any]:
        """Return numbers of the set, and of each item under "items"."""
        nats, count = sum(predictions), sum(tokens)
        items = zip(predictions, tokens, bytes, hits, strict=True)
        return {
            "loss": nats / count,
            "perplexity": math.exp(nats / count),
            "bits_per_byte": nats / math.log(2) / max(1, sum(bytes)),
            "token_accuracy": sum(hits) / count,
            "items": [
                {
                    "loss": own / size,
                    "tokens": size,
                    "bits_per_byte": own / math.log(2) / max(1, width),
                    "bytes": max(1, width),
                    "token_accuracy": hit / size,
                }
                for own, size, width, hit in items
            ],
        }
