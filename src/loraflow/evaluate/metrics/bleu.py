"""BLEU as sacrebleu computes it (Papineni et al. 2002; Post 2018), of a whole set of answers."""

from typing import Any

import evaluate
import sacrebleu

from loraflow.evaluate.metrics.features import of_texts


class Bleu(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """Corpus BLEU, 0 to 100, with one reference an answer."""

    def _info(self) -> evaluate.MetricInfo:
        return of_texts(__doc__, "https://aclanthology.org/W18-6319")

    def _compute(
        self, predictions: list[str], references: list[str], tokenize: str = "13a"
    ) -> dict[str, Any]:
        """Return the score, each answer's counts, and sacrebleu's signature with the tokenizer.

        The counts of an answer are those that `compare.corpus.bleu` adds up; sacrebleu 2.6.0 gives
        them for its own significance tests.
        """
        metric = sacrebleu.BLEU(tokenize=tokenize)
        return {
            "bleu": metric.corpus_score(predictions, [references]).score,
            "counts": metric._extract_corpus_statistics(predictions, [references]),
            "signature": str(metric.get_signature()),
        }
