"""What stands behind every chart of quality: the margin below the best, and the controls."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loraflow.compare.arms import Comparison
from loraflow.page.charts.scale import Box, Scale, finite
from loraflow.page.charts.svg import line, tag, told
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import number, with_interval

_FARTHEST = 0.8  # of the span of all other arms
_ACROSS, _UP = ("\u2190", "\u2192"), ("\u2193", "\u2191")  # arrows to the low and the high end


@dataclass(frozen=True)
class View:
    """What is drawn, and where."""

    page: RankPage
    comparison: Comparison
    box: Box
    quality: Scale  # up the left side; in a ranking along the bottom

    def value(self, arm: Arm) -> float:
        """Return the place of an arm's value."""
        return self.quality(self.comparison.arms[arm.name].value.value)

    def number_of(self, arm: Arm) -> int:
        """Return the number by which the script knows an arm."""
        return arm_numbers(self.page)[arm.name]

    @property
    def controls(self) -> list[Arm]:
        """The arms in which nothing of rank r is trained."""
        return [arm for arm in self.page.arms if arm.is_control]


def margin_strip(view: View, *, upright: bool = False) -> Markup:
    """Return the strip of what counts as good as the best; upright where quality runs across."""
    best = view.comparison.arms[view.comparison.best].value.value
    margin = view.comparison.margin
    end = best - margin if view.page.larger_is_better else best + margin
    low, high = sorted((view.quality(best), view.quality(end)))
    box, words = view.box, told(f"less than the margin of {margin:g} from the best")
    size = max(1.0, high - low)
    if upright:
        height = box.bottom - box.top
        return tag("rect", words, class_="margin", x=low, y=box.top, width=size, height=height)
    width = box.right - box.left
    return tag("rect", words, class_="margin", x=box.left, y=low, width=width, height=size)


def control_line(view: View, arm: Arm, *, upright: bool = False) -> Markup:
    """Return the dashed line of an arm in which nothing of rank r is trained."""
    words = told(describe(view.page, view.comparison, arm))
    at, box = view.value(arm), view.box
    if upright:
        return line((at, box.top), (at, box.bottom), "control", words)
    return line((box.left, at), (box.right, at), "control", words)


def describe(page: RankPage, comparison: Comparison, arm: Arm) -> str:
    """Return an arm's numbers as a sentence."""
    score = comparison.arms[arm.name]
    seeds = ", ".join(number(page, one) for one in score.seeds)
    repeats = f"; seeds {seeds}" if len(score.seeds) > 1 else ""
    return f"{arm.name}: {page.metric} {with_interval(page, score.value)}{repeats}"


def heights(page: RankPage, comparison: Comparison) -> list[float]:
    """Return all that a chart of quality has to have room for.

    A control far below would press what is compared into a corner: it stands at the edge then.
    """
    ends: list[float] = []
    for arm in page.arms:
        if not arm.is_control or arm.name == comparison.best:
            score = comparison.arms[arm.name]
            ends += finite([score.value.value, score.value.low, score.value.high, *score.seeds])
    best = comparison.arms[comparison.best].value.value
    ends.append(best - comparison.margin if page.larger_is_better else best + comparison.margin)
    far = _FARTHEST * (max(ends) - min(ends))
    controls = [comparison.arms[arm.name].value.value for arm in page.arms if arm.is_control]
    near = [value for value in controls if min(ends) - far < value < max(ends) + far]
    return [*ends, *near]


def control_words(view: View, arm: Arm) -> str:
    """Return the name of a control, with its value where it lies outside of the chart."""
    value = view.comparison.arms[arm.name].value.value
    if view.quality.low <= value <= view.quality.high:
        return arm.name
    low, high = _ACROSS if view.quality.start < view.quality.end else _UP
    side = low if value < view.quality.low else high
    return f"{arm.name} {side} {number(view.page, value)}"


def arm_numbers(page: RankPage) -> dict[str, int]:
    """Number all arms, those of trials that were not compared too."""
    names: Sequence[str] = [arm.name for arm in page.arms] + [one.arm for one in page.trials]
    return {name: place for place, name in enumerate(dict.fromkeys(names))}


def note_look(word: str) -> str:
    """Return the class of what the recommendation says of an arm."""
    return f"note {word.partition(' ')[0]}"
