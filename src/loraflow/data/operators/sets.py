"""Parameters of the operators that need to see all rows; `loraflow.data` does their work."""

from typing import Annotated, ClassVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.data.operators.base import STRICT


@dataclass(frozen=True, config=STRICT)
class ExactDuplicates:
    """Keep the first of rows with the same content."""

    version: ClassVar[int] = 1


@dataclass(frozen=True, config=STRICT)
class NearDuplicates:
    """Keep the first of rows that have nearly all n-grams in common."""

    version: ClassVar[int] = 2
    threshold: Annotated[float, Field(ge=0.7, le=1)]  # Jaccard; below, LSH finds few of the pairs
    ngram: Annotated[int, Field(ge=1, strict=True)]  # words; a Chinese character is a word


@dataclass(frozen=True, config=STRICT)
class ConflictingAnswers:
    """Keep prompts that are answered in few different ways."""

    version: ClassVar[int] = 1
    max_answers: Annotated[int, Field(ge=1, strict=True)]  # to one prompt
