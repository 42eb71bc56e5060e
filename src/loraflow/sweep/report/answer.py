"""The answer of a sweep in large words, with the few numbers that carry it."""

from collections.abc import Iterator
from dataclasses import dataclass

from loraflow.compare.arms import Comparison
from loraflow.compare.recommend import Recommendation
from loraflow.evaluate.report.numbers import digits_of, plain, signed, signed_span, span
from loraflow.page.charts.scale import short
from loraflow.page.tile import Tile
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import MISSING, by_quality

_HEADS = {
    "enough": ("good", "{arm} is enough"),
    "best": ("good", "{arm}: no smaller arm is enough"),
    "cannot tell": ("note", "Not settled: {inside_noise} may be enough"),
    "no gain": ("bad", "No adapter is clearly better than {inside_noise}"),
}


@dataclass(frozen=True)
class Answer:
    """What is said first."""

    head: str
    tone: str  # good, note or bad
    lede: str  # the first sentence
    rest: str  # those behind it
    tiles: list[Tile]


def answer_of(page: RankPage) -> Answer:
    """Return the recommendation as a head line, a sentence and tiles."""
    comparison, found = page.comparison, page.recommendation
    if comparison is None or found is None:
        return Answer("Nothing to compare yet", "note", _why_not(page), "", [])
    tone, head = _HEADS[found.kind]
    if found.kind == "best" and not _smaller(page, found):
        head = "{arm} is the smallest arm and the best"
    head = head.format(arm=found.arm, inside_noise=found.inside_noise)
    lede, stop, rest = found.sentence.partition(". ")
    return Answer(head, tone, lede + stop.strip(), rest, list(_tiles(page, comparison, found)))


def _smaller(page: RankPage, found: Recommendation) -> list[Arm]:
    """Return the adapters that are smaller than the recommended one."""
    sizes = {arm.name: arm.trainable_parameters for arm in page.arms}
    size = sizes.get(found.arm or "", 0)
    return [arm for arm in page.arms if not arm.is_control and arm.trainable_parameters < size]


def sentence_of(page: RankPage) -> str:
    """Return the recommendation, or why there is none."""
    return page.recommendation.sentence if page.recommendation else _why_not(page)


def _why_not(page: RankPage) -> str:
    if page.comparison is not None:
        return "Only controls have finished, and no adapter is there to be compared with them."
    if not page.trials:
        return "There are no trials."
    if len(page.arms) == 1:
        name = page.arms[0].name
        return f"Only {name} has finished with a number; a comparison needs two arms or more."
    return "No trial has finished with a number. The table of trials says why."


def _tiles(page: RankPage, comparison: Comparison, found: Recommendation) -> Iterator[Tile]:
    arms = {arm.name: arm for arm in page.arms}
    named = arms[found.inside_noise if found.kind == "cannot tell" else found.arm or _first(page)]
    yield _value(page, comparison, named)
    if found.kind == "no gain":
        if found.inside_noise != comparison.best:
            control = arms[found.inside_noise]
            yield _gap(page, comparison, control, f"{control.name} against the best")
    elif named.name != comparison.best:
        yield _gap(page, comparison, named, f"against the best, {comparison.best}")
    elif smaller := _smaller(page, found):
        nearest = min(smaller, key=lambda arm: abs(comparison.gaps[arm.name].difference.mean))
        yield _gap(page, comparison, nearest, f"the nearest smaller arm, {nearest.name}")
    yield from _needed(comparison, found)
    best = arms[comparison.best]
    yield _cost("trainable parameters", named.trainable_parameters, best.trainable_parameters)
    yield _cost("seconds of training", named.seconds, best.seconds)
    for arm in by_quality(page, comparison):
        if arm.is_control:
            yield _value(page, comparison, arm)


def _first(page: RankPage) -> str:
    """Return the best adapter."""
    if page.comparison is None:
        return ""
    return next(arm.name for arm in by_quality(page, page.comparison) if not arm.is_control)


def _value(page: RankPage, comparison: Comparison, arm: Arm) -> Tile:
    score, digits = comparison.arms[arm.name], digits_of(page.metric)
    seeds = f", {len(score.seeds)} seeds" if len(score.seeds) > 1 else ""
    return Tile(
        f"{page.metric} of {arm.name}",
        plain(score.value.value, digits),
        f"{span(score.value, digits)}{seeds}",
    )


def _gap(page: RankPage, comparison: Comparison, arm: Arm, label: str) -> Tile:
    gap, digits = comparison.gaps[arm.name], digits_of(page.metric)
    return Tile(
        label,
        signed(gap.difference.mean, digits),
        f"{signed_span(gap.difference, digits)}; the margin is {comparison.margin:g}",
    )


def _needed(comparison: Comparison, found: Recommendation) -> Iterator[Tile]:
    """Yield what it takes to know whether the smallest arm inside the noise is enough."""
    items, seeds = found.items_needed, found.seeds_needed
    if found.kind != "cannot tell" or (items is None and seeds is None):
        return
    arms = (found.inside_noise, comparison.best)
    now_seeds = min(len(comparison.arms[arm].seeds) for arm in arms)
    wanted = [*([f"{items:,} items"] if items else []), *([f"{seeds:,} seeds"] if seeds else [])]
    now = f"{comparison.items:,} items, {now_seeds} seed{'s' if now_seeds > 1 else ''}"
    more = f"and {wanted[1]}; now {now}" if len(wanted) > 1 else f"now {now}"
    yield Tile("would settle it", wanted[0], more)


def _cost(label: str, cost: float, of_best: float) -> Tile:
    share = f"{cost / of_best:.0%}" if of_best else "100%"
    more = "" if share == "100%" else f"{share} of the best's {_whole(of_best)}"
    return Tile(label, _whole(cost), more)


def _whole(cost: float) -> str:
    return short(round(cost)) if cost else MISSING
