"""Puts a judge's own unit, such as nats of information, on the scale from 1 to 10."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import numpy as np
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from loraflow.evaluate.judge.ratings import HIGHEST, LOWEST


@dataclass(frozen=True)
class Scale:
    """A rising map from raw values to ratings: 1 + 9 P(genuine | raw)."""

    slope: float  # of the log-odds of a genuine answer, a unit of raw; never below 0
    intercept: float

    @classmethod
    def neutral(cls) -> Self:
        """Return the scale of a judge of which nothing is known: every answer is in the middle."""
        return cls(0.0, 0.0)

    @classmethod
    def fit(cls, genuine: Sequence[float], spoilt: Sequence[float]) -> Self:
        """Return the scale that tells genuine from spoilt best, each side counting the same.

        A judge worse than chance, that would need a falling map, gets the neutral scale.
        """
        raw = np.array([*genuine, *spoilt], dtype=float)
        if not len(genuine) or not len(spoilt) or raw.std() == 0:
            return cls.neutral()
        middle, width = raw.mean(), raw.std()
        is_genuine = np.repeat([1, 0], [len(genuine), len(spoilt)])
        model = LogisticRegression(class_weight="balanced")
        model.fit(((raw - middle) / width)[:, None], is_genuine)
        slope = float(model.coef_[0, 0] / width)
        if slope <= 0:
            return cls.neutral()
        return cls(slope, float(model.intercept_[0] - slope * middle))

    @classmethod
    def from_dict(cls, values: Mapping[str, float]) -> Self:
        """Read what `as_dict` returned."""
        return cls(**values)

    def as_dict(self) -> dict[str, float]:
        """Return the two numbers by name."""
        return asdict(self)

    def rating(self, raw: float) -> float:
        """Return the rating, from 1 to 10."""
        share = float(expit(self.slope * raw + self.intercept))
        return LOWEST + (HIGHEST - LOWEST) * share
