"""Quality against r: a line for each target set, with intervals, the band of seeds, the margin."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup

from loraflow.compare.arms import Comparison
from loraflow.sweep.report.charts.axes import (
    LEFT,
    RIGHT,
    WIDTH,
    Axis,
    finite,
    frame,
    horizontal,
    path,
    picture,
    series,
    text,
    title,
    vertical,
)
from loraflow.sweep.report.content import Arm, Dimension, RankPage
from loraflow.sweep.report.words import number, with_interval

_RANK = "adapter.r"
_APART = 5  # units between arms of the same r


def numeric_dimension(page: RankPage) -> Dimension | None:
    """Return what stands across: r if it varies, else the first dimension of numbers."""
    numbers = [
        one
        for one in page.dimensions
        if one.is_compared and all(_is_number(value) for value in one.values)
    ]
    return next((one for one in numbers if one.key == _RANK), numbers[0] if numbers else None)


def lines_of(page: RankPage, across: Dimension) -> Mapping[str, list[Arm]]:
    """Return the arms of each line, by the values of all other dimensions."""
    found: dict[str, list[Arm]] = {}
    for arm in page.arms:
        if not arm.is_control and across.name in arm.values:
            others = [f"{value}" for name, value in arm.values.items() if name != across.name]
            found.setdefault(", ".join(others), []).append(arm)
    for arms in found.values():
        arms.sort(key=lambda arm: float(arm.values[across.name] or 0))
    return found


def draw_quality(page: RankPage) -> Markup | None:
    """Return the chart; None where nothing of numbers varies or nothing was compared."""
    comparison, dimension = page.comparison, numeric_dimension(page)
    if comparison is None or dimension is None:
        return None
    lines = lines_of(page, dimension)
    places = [float(arm.values[dimension.name] or 0) for arms in lines.values() for arm in arms]
    if not places:
        return None
    across = horizontal(places, log=min(places) > 0, exact=True)
    up = vertical(_heights(page, comparison))
    parts = [
        _margin(page, comparison, up),
        frame(across, up, across_name=dimension.name, up_name=page.metric),
    ]
    parts += [_control(page, comparison, arm, up) for arm in page.arms if arm.is_control]
    for place, arms in enumerate(lines.values()):
        shift = _APART * (place - (len(lines) - 1) / 2)
        points = [across(float(arm.values[dimension.name] or 0)) + shift for arm in arms]
        parts.append(_line(page, comparison, arms, points, up, series(place)))
    words = f"{page.metric} against {dimension.name}: " + "; ".join(
        f"{arm.name} {with_interval(page, comparison.arms[arm.name].value)}" for arm in page.arms
    )
    return picture(parts, words)


def _heights(page: RankPage, comparison: Comparison) -> list[float]:
    found: list[float] = []
    for score in comparison.arms.values():
        found += [score.value.value, score.value.low, score.value.high, *score.seeds]
    return finite(found)


def _margin(page: RankPage, comparison: Comparison, up: Axis) -> Markup:
    """Return the strip of what counts as good as the best."""
    best = comparison.arms[comparison.best].value.value
    end = best - comparison.margin if page.larger_is_better else best + comparison.margin
    top, bottom = sorted((up(best), min(max(up(end), up.end), up.start)))
    return Markup('<rect class="margin" x="{}" y="{}" width="{}" height="{}">{}</rect>').format(
        LEFT,
        top,
        WIDTH - LEFT - RIGHT,
        max(1.0, bottom - top),
        title(f"within the margin of {comparison.margin:g} of the best"),
    )


def _control(page: RankPage, comparison: Comparison, arm: Arm, up: Axis) -> Markup:
    value = comparison.arms[arm.name].value
    line = Markup('<line class="control" x1="{}" x2="{}" y1="{}" y2="{}">{}</line>').format(
        LEFT,
        WIDTH - RIGHT,
        up(value.value),
        up(value.value),
        title(f"{arm.name}: {with_interval(page, value)}"),
    )
    return line + text(WIDTH - RIGHT - 4, up(value.value) - 8, arm.name, "end")


def _line(
    page: RankPage,
    comparison: Comparison,
    arms: Sequence[Arm],
    points: Sequence[float],
    up: Axis,
    look: str,
) -> Markup:
    scores = [comparison.arms[arm.name] for arm in arms]
    placed = list(zip(points, scores, strict=True))
    band = [(x, up(max(score.seeds))) for x, score in placed]
    band += [(x, up(min(score.seeds))) for x, score in reversed(placed)]
    parts = [
        Markup('<path class="band {}" d="{}Z"/>').format(look, path(band)),
        Markup('<path class="line {}" d="{}"/>').format(
            look, path([(x, up(score.value.value)) for x, score in placed])
        ),
    ]
    for arm, (x, score) in zip(arms, placed, strict=True):
        seeds = ", ".join(number(page, one) for one in score.seeds)
        told = title(f"{arm.name}: {with_interval(page, score.value)}; seeds {seeds}")
        bar = Markup('<line x1="{}" x2="{}" y1="{}" y2="{}"/>').format(
            x, x, up(score.value.low), up(score.value.high)
        )
        is_best = arm.name == comparison.best
        dot = Markup('<circle class="{}" cx="{}" cy="{}" r="{}"/>').format(
            "best" if is_best else "dot", x, up(score.value.value), 6 if is_best else 4
        )
        parts.append(Markup('<g class="{}">{}{}{}</g>').format(look, told, bar, dot))
    return Markup().join(parts)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
