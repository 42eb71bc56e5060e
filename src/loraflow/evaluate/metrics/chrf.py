"""chrF2 as sacrebleu computes it (Popović 2015), of a whole set of answers; no words are needed."""

from typing import Any

import evaluate
import sacrebleu

from loraflow.evaluate.metrics.features import of_texts


class Chrf(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """Corpus chrF2, 0 to 100, with one reference an answer."""

    def _info(self) -> evaluate.MetricInfo:
        return of_texts(__doc__, "https://aclanthology.org/W15-3049")

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, Any]:
        """Return the score, each answer's counts (see `compare.corpus.chrf`), and the signature."""
        metric = sacrebleu.CHRF()
        return {
            "chrf": metric.corpus_score(predictions, [references]).score,
            "counts": metric._extract_corpus_statistics(predictions, [references]),
            "signature": str(metric.get_signature()),
        }
