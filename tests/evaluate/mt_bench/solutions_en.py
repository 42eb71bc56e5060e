"""Programs that check the English reference answers: every question of four categories, each turn.

A question that no program can check would be missing here; at present there is none.
"""

from tests.evaluate.mt_bench.solutions_en_coding import CODE_CASES
from tests.evaluate.mt_bench.solutions_en_extraction import EXTRACTED
from tests.evaluate.mt_bench.solutions_en_math import MATH
from tests.evaluate.mt_bench.solutions_en_reasoning import REASONING

EXPECTED = REASONING | MATH  # what the last line of the reference must say

__all__ = ["CODE_CASES", "EXPECTED", "EXTRACTED"]
