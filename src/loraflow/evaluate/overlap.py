"""How much answers share with references: BLEU, chrF, ROUGE, in the references' language."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from loraflow.evaluate.language import detect_language, words_of
from loraflow.evaluate.metrics.bleu import Bleu
from loraflow.evaluate.metrics.chrf import Chrf
from loraflow.evaluate.metrics.consistency import Consistency
from loraflow.evaluate.metrics.exact_match import ExactMatch
from loraflow.evaluate.metrics.rouge import TYPES, Rouge

_BLEU_TOKENIZERS = {"en": "13a", "zh": "zh", "ja": "char", "other": "13a"}


@dataclass(frozen=True)
class Overlap:
    """Scores of a set of answers."""

    items: list[dict[str, Any]]  # ROUGE, exact match, and the counts of BLEU and chrF, by answer
    signatures: dict[str, str]  # by metric, with the tokenizer
    language: str


def score_overlap(answers: list[str], references: list[str], language: str) -> Overlap:
    """Score `answers` against `references`; language "auto" is decided by the references."""
    spoken = detect_language(references) if language == "auto" else language
    pairs = {"predictions": answers, "references": references}
    bleu = Bleu().compute(**pairs, tokenize=_BLEU_TOKENIZERS[spoken])
    chrf = Chrf().compute(**pairs)
    rouge = Rouge().compute(**pairs, tokenizer=words_of(spoken))
    exact = ExactMatch().compute(**pairs)["exact_match"]
    return Overlap(
        [
            {
                **{name: rouge[name][place] for name in TYPES},
                "exact_match": exact[place],
                "bleu_counts": bleu["counts"][place],
                "chrf_counts": chrf["counts"][place],
            }
            for place in range(len(answers))
        ],
        {
            name: found["signature"]
            for name, found in (("bleu", bleu), ("chrf", chrf), ("rouge", rouge))
        },
        spoken,
    )


def score_consistency(samples: Sequence[list[str]], language: str) -> list[float]:
    """Return how alike the answers to each question are, 0 to 1."""
    found = Consistency().compute(predictions=list(samples), tokenizer=words_of(language))
    alike: list[float] = found["self_consistency"]
    return alike
