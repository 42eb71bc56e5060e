"""How much the answers share with the references: BLEU and ROUGE, in the references' language."""

from dataclasses import dataclass

from loraflow.evaluate.language import detect_language, words_of
from loraflow.evaluate.metrics.bleu import Bleu
from loraflow.evaluate.metrics.rouge import Rouge

_BLEU_TOKENIZERS = {"en": "13a", "zh": "zh", "ja": "char", "other": "13a"}


@dataclass(frozen=True)
class Overlap:
    """Scores of a set of answers."""

    bleu: float  # of the whole set, 0 to 100
    bleu_signature: str
    rouge: dict[str, list[float]]  # by type, one value an answer, 0 to 1
    language: str


def score_overlap(answers: list[str], references: list[str], language: str) -> Overlap:
    """Score `answers` against `references`; language "auto" is decided by the references."""
    spoken = detect_language(references) if language == "auto" else language
    bleu = Bleu().compute(
        predictions=answers, references=references, tokenize=_BLEU_TOKENIZERS[spoken]
    )
    rouge = Rouge().compute(predictions=answers, references=references, tokenizer=words_of(spoken))
    return Overlap(bleu["bleu"], bleu["signature"], rouge, spoken)
