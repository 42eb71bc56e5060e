"""Says in sentences what an evaluation shows, and what it cannot tell."""

from collections.abc import Iterator, Sequence

from loraflow.compare.statistics import Difference
from loraflow.evaluate.report.content import Bench, Score
from loraflow.evaluate.report.notes import REASONS

_MOST = 4  # metrics that are named with their numbers


def find(scores: Sequence[Score], probes: Sequence[Score], bench: Bench | None) -> list[str]:
    """Return sentences, the most important first; none for a single arm."""
    return [*_held_out(scores), *_forgetting(probes), *_bench(bench)]


def _held_out(scores: Sequence[Score]) -> Iterator[str]:
    judged = [score for score in scores if score.larger_is_better is not None and not score.note]
    better = [score for score in judged if _direction(score) > 0]
    worse = [score for score in judged if _direction(score) < 0]
    open_ = [score for score in judged if score.difference and not score.difference.is_clear]
    if better:
        yield f"Tuned is better than base in {_named(better)}."
    if worse:
        yield f"Tuned is worse than base in {_named(worse)}."
    if open_:
        names = ", ".join(score.name for score in open_)
        yield f"No difference beyond the noise of {open_[0].items} items: {names}."
    for score in scores:
        if score.note and score.difference:
            yield f"{score.name} does not decide between base and tuned: {REASONS[score.note]}."


def _forgetting(probes: Sequence[Score]) -> Iterator[str]:
    if not probes or probes[0].difference is None or probes[0].tuned is None:
        return
    whole, gap, tuned = probes[0], probes[0].difference, probes[0].tuned
    change = f"{whole.base.value:.3f} to {tuned.value:.3f} ({_span(gap)})"
    if gap.high < 0:
        yield f"Forgetting: accuracy on {whole.items} probes of general ability fell, {change}."
    elif gap.low > 0:
        yield f"Accuracy on {whole.items} probes of general ability rose, {change}."
    else:
        loss = max(0.0, -gap.low)
        yield (
            f"No forgetting is shown on {whole.items} probes of general ability: accuracy "
            f"{change}. A loss of more than {loss:.3f} can be ruled out."
        )
    lost = [score.name for score in probes[1:] if score.difference and score.difference.high < 0]
    if lost:
        yield f"It fell in {', '.join(lost)}."


def _bench(bench: Bench | None) -> Iterator[str]:
    if bench is None or not bench.overall or bench.overall[0].difference is None:
        return
    average = bench.overall[0]
    if average.note:
        why = REASONS[average.note]
        yield f"Ratings of {bench.judge} do not decide between base and tuned: {why}."
        return
    gap = average.difference
    verdict = "no difference beyond the noise"
    if gap is not None and gap.is_clear:
        verdict = "tuned is better" if gap.low > 0 else "tuned is worse"
    yield (
        f"{bench.questions} two-turn questions, rated by {bench.judge}: {verdict} "
        f"({_span(gap) if gap else ''} points)."
    )


def _direction(score: Score) -> int:
    """Return 1 where the tuned model is clearly better, -1 where worse, else 0."""
    gap = score.difference
    if gap is None or not gap.is_clear:
        return 0
    return 1 if (gap.low > 0) == score.larger_is_better else -1


def _named(scores: Sequence[Score]) -> str:
    shown = [
        f"{score.name} ({_span(score.difference, score.digits)})"
        for score in scores[:_MOST]
        if score.difference
    ]
    rest = [score.name for score in scores[_MOST:]]
    return ", ".join([*shown, *rest])


def _span(gap: Difference, digits: int = 3) -> str:
    return f"{gap.mean:+.{digits}f}, {gap.low:+.{digits}f} to {gap.high:+.{digits}f}"
