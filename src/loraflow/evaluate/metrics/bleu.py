"""BLEU as sacrebleu computes it (Papineni et al. 2002; Post 2018), of a whole set of answers."""

import datasets
import evaluate
import sacrebleu


class Bleu(evaluate.Metric):  # type: ignore[misc]  # evaluate comes without types
    """Corpus BLEU, 0 to 100, with one reference an answer."""

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=__doc__,
            citation="https://aclanthology.org/W18-6319",
            inputs_description="predictions and references: lists of strings of the same length",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(
        self, predictions: list[str], references: list[str], tokenize: str = "13a"
    ) -> dict[str, float | str]:
        """Return the score, and sacrebleu's signature, which names the tokenizer."""
        metric = sacrebleu.BLEU(tokenize=tokenize)
        score = metric.corpus_score(predictions, [references]).score
        return {"bleu": score, "signature": str(metric.get_signature())}
