"""Says in plain words what a judge's card shows."""

from collections.abc import Iterator

from loraflow.compare.statistics import Interval
from loraflow.evaluate.judge.card import Card

_WORDS = {
    "wrong_question": "answers to another question",
    "shuffled": "shuffled words",
    "truncated": "answers cut to a third",
    "empty": "empty answers",
    "refusal": "refusals",
    "repeated": "one clause repeated",
}


def sentences(card: Card) -> list[str]:
    """Return what the judge can see and what it cannot, a sentence each, for reports."""
    return [*_trust(card), *_sight(card), _limits(card), *_biases(card), *_failures(card)]


def _trust(card: Card) -> Iterator[str]:
    if card.accuracy is None:
        yield f"{card.judge} could not be checked: none of its judgments can be compared."
        return
    pairs = sum(result.pairs for result in card.kinds)
    share = card.accuracy.as_share()
    found = f"{card.judge} prefers a genuine answer to a spoilt one in {share} of {pairs} pairs"
    if card.trusted:
        yield f"{found}, which is better than chance."
    else:
        yield f"{found}, which may be chance: do not trust its ratings."


def _sight(card: Card) -> Iterator[str]:
    shown = {
        result.kind: f"{_WORDS[result.kind]} {result.accuracy.as_share()}" for result in card.kinds
    }
    sees = [text for kind, text in shown.items() if kind not in card.blind_to]
    if sees:
        yield f"It sees {'; '.join(sees)}."
    if card.blind_to:
        yield f"It does not see {'; '.join(shown[kind] for kind in card.blind_to)}."


def _limits(card: Card) -> str:
    if card.trusted and card.flips is None:  # a local judge reads probabilities of one answer
        return (
            "It judges whether an answer is relevant to its question and complete, not whether it "
            "is true or well written."
        )
    return "Whether it tells true from false, or good style from bad, is not checked here."


def _biases(card: Card) -> Iterator[str]:
    if card.flips is not None:
        yield (
            "When two answers change places its verdict changes in "
            f"{card.flips.rate.as_share()} of {card.flips.games} games."
        )
    points = card.length_rating
    if points is not None and _differs(points):
        yield (
            f"A genuine answer of twice the length gets {points.value:+.2f} points "
            f"({points.low:+.2f} to {points.high:+.2f})."
        )
    elif points is not None:
        yield (
            "Longer genuine answers get neither more nor fewer points, as far as can be told "
            f"({points.low:+.2f} to {points.high:+.2f} for twice the length)."
        )


def _failures(card: Card) -> Iterator[str]:
    again = card.consistency
    if again is not None:
        yield (
            f"Asked again it gives the same rating in {again.identical:.0%} of {again.repeats} "
            f"cases; it is off by {again.mean_difference:.2f} points on average."
        )
    failed = card.failures
    if failed.call or failed.format:
        yield (
            f"Of {failed.judgments} judgments {failed.call} were never answered and "
            f"{failed.format} could not be read; they count for nothing."
        )


def _differs(points: Interval) -> bool:
    return points.low > 0 or points.high < 0
