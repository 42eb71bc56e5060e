"""What is known of a judge, and what follows from it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from loraflow.compare.statistics import Interval
from loraflow.evaluate.judge.scale import Scale

CHANCE = 0.5


@dataclass(frozen=True)
class KindResult:
    """How often a judge puts the genuine answer above one that is spoilt in one way."""

    kind: str
    pairs: int  # of which both answers got a grade
    wins: int
    ties: int  # which are no wins
    accuracy: Interval


@dataclass(frozen=True)
class Counted:
    """Of how many judgments how many failed."""

    judgments: int
    call: int
    format: int


@dataclass(frozen=True)
class Flips:
    """How often a verdict changes with the order of the answers."""

    games: int
    rate: Interval


@dataclass(frozen=True)
class Consistency:
    """What a judge says when it is asked again."""

    repeats: int
    identical: float  # share
    mean_difference: float  # of ratings, absolute


@dataclass(frozen=True)
class Card:
    """What is known of a judge."""

    judge: str
    prompt: str  # name of what it is asked with
    rows: int
    kinds: tuple[KindResult, ...]
    accuracy: Interval | None  # of all kinds; rows are the unit. None: nothing could be compared
    flips: Flips | None  # None: it never sees two answers at once
    length_raw: Interval | None  # more raw value for an answer of twice the length
    length_rating: Interval | None  # more points
    failures: Counted
    consistency: Consistency | None
    scale: Scale | None  # None: its raw values are ratings

    @property
    def trusted(self) -> bool:
        """Tell whether it is better than chance."""
        return self.accuracy is not None and self.accuracy.low > CHANCE

    @property
    def blind_to(self) -> tuple[str, ...]:
        """Kinds of damage that it does not see better than chance."""
        return tuple(result.kind for result in self.kinds if result.accuracy.low <= CHANCE)

    def as_dict(self) -> dict[str, Any]:
        """Return the card as JSON values, with what follows from it."""
        return {**asdict(self), "trusted": self.trusted, "blind_to": list(self.blind_to)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what `as_dict` returned."""
        kinds = [
            KindResult(**{**kind, "accuracy": Interval(**kind["accuracy"])})
            for kind in values["kinds"]
        ]
        flips = values["flips"]
        parts: dict[str, Any] = {
            "kinds": tuple(kinds),
            "flips": flips and Flips(flips["games"], Interval(**flips["rate"])),
            "failures": Counted(**values["failures"]),
        }
        for name in ("accuracy", "length_raw", "length_rating"):
            parts[name] = values[name] and Interval(**values[name])
        parts["consistency"] = values["consistency"] and Consistency(**values["consistency"])
        parts["scale"] = values["scale"] and Scale.from_dict(values["scale"])
        return cls(**{field.name: values[field.name] for field in fields(cls)} | parts)


def choose_reading(cards: Mapping[str, Card]) -> str:
    """Return the name of the card with the best accuracy; the first of equals."""
    return max(cards, key=lambda name: card.value if (card := cards[name].accuracy) else -1.0)
