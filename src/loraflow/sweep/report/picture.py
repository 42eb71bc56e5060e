"""Quality against r as a picture, for Prefect and for READMEs."""

import io
import math
import warnings
from collections.abc import Sequence
from typing import Any

from loraflow.compare.arms import Comparison
from loraflow.page.charts.marks import SERIES
from loraflow.page.charts.scale import Box
from loraflow.page.charts.svg import fit
from loraflow.page.text import visible
from loraflow.sweep.report.charts.backdrop import View, control_words, heights
from loraflow.sweep.report.charts.lines import Line, as_number, lines_of
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.fonts import font_families
from loraflow.sweep.report.words import by_quality, direction, marks

_COLOURS = ("#2f6d8c", "#cf5327", "#0f7f69", "#b14d88", "#b98208", "#59636a")  # those of the page
_MARKERS = ("o", "s", "^", "D", "v", "X")
_DASHES: Sequence[Any] = ("-", (0, (6, 2)), (0, (2, 2)), (0, (7, 2, 2, 2)), (0, (9, 3)), ":")
_INK, _SOFT, _STRIP = "#1d2427", "#59636a", "#0f7f69"
_INCHES, _DPI = (8.0, 4.4), 120
_ROW = 0.27  # inches of an arm in a ranking
_MOST = 24  # arms of a ranking
_BOX = Box(0, 0, 1, 1)  # Matplotlib has a room of its own: of a scale only its ends are taken
_TITLE, _NAME = 440.0, 240.0  # room, in units as the page's charts have them


def quality_picture(page: RankPage) -> bytes:
    """Return a PNG on white; what has no number to stand across is ranked."""
    import matplotlib as mpl  # noqa: PLC0415 - a second that the text alone need not wait for
    from matplotlib.figure import Figure  # noqa: PLC0415

    style: Any = {"font.family": font_families(), "text.parse_math": False}
    target = io.BytesIO()
    with mpl.rc_context(style), warnings.catch_warnings():
        # without a font for Han characters there are boxes, which are no reason to stop
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained", facecolor="white")
        _draw(page, figure)
        figure.savefig(target, format="png")
    return target.getvalue()


def _draw(page: RankPage, figure: Any) -> None:
    axes, comparison, found = figure.add_subplot(), page.comparison, lines_of(page)
    axes.set_title(fit(page.title, _TITLE), loc="left", color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_SOFT)
    if comparison is None:
        axes.set_axis_off()
        axes.text(0.5, 0.5, "Nothing to compare yet", ha="center", color=_SOFT, size=14)
    elif found is None or len(found[1]) > SERIES:
        _ranking(page, comparison, axes, figure)
    else:
        _lines(page, comparison, axes, found[0].name, found[1])


def _lines(
    page: RankPage, comparison: Comparison, axes: Any, name: str, lines: Sequence[Line]
) -> None:
    axes.set_ylabel(f"{page.metric}, {direction(page)}", color=_INK)
    axes.set_xlabel(visible(name), color=_INK)
    axes.grid(axis="y", alpha=0.3)
    axes.axhspan(
        *_margin(page, comparison), color=_STRIP, alpha=0.12, lw=0, label="within the margin"
    )
    view = View(page, comparison, _BOX, _BOX.up(heights(page, comparison)))
    axes.set_ylim(view.quality.low, view.quality.high)
    for arm in view.controls:
        words = _fit(control_words(view, arm))
        axes.axhline(_inside(view, arm), color=_SOFT, ls="--", lw=1, label=words, clip_on=False)
    ticks = sorted({as_number(arm.values[name]) for one in lines for arm in one.arms})
    is_log = ticks[0] > 0
    for place, one in enumerate(lines):
        # beside each other, so that intervals of two lines do not cover each other
        shift = 0.035 * (place - (len(lines) - 1) / 2) * (1 if is_log else ticks[-1] / len(ticks))
        at = [as_number(arm.values[name]) for arm in one.arms]
        across = [x * 2**shift if is_log else x + shift for x in at]
        _line(comparison, one, across, axes, place)
    if is_log:
        axes.set_xscale("log", base=2)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    for one in lines:
        _notes(page, comparison, axes, one, name)
    axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))


def _line(
    comparison: Comparison, one: Line, across: Sequence[float], axes: Any, place: int
) -> None:
    scores = [comparison.arms[arm.name] for arm in one.arms]
    values = [score.value.value for score in scores]
    colour = _COLOURS[place]
    lows, highs = [min(score.seeds) for score in scores], [max(score.seeds) for score in scores]
    axes.fill_between(across, lows, highs, color=colour, alpha=0.15, lw=0)
    axes.errorbar(
        across,
        values,
        yerr=[
            _reach(score.value.value - score.value.low for score in scores),
            _reach(score.value.high - score.value.value for score in scores),
        ],
        color=colour,
        marker=_MARKERS[place],
        ls=_DASHES[place],
        elinewidth=1.3,
        ms=5,
        lw=1.7,
        label=_fit(one.name) or "adapter",
    )


def _notes(page: RankPage, comparison: Comparison, axes: Any, one: Line, name: str) -> None:
    """Write what the recommendation says of an arm: above the best, below all others."""
    marked = marks(page)
    for arm in one.arms:
        value = comparison.arms[arm.name].value
        if arm.name in marked:
            is_above = (arm.name == comparison.best) == page.larger_is_better
            end = value.high if is_above else value.low
            axes.annotate(
                marked[arm.name],
                (as_number(arm.values[name]), end if math.isfinite(end) else value.value),
                xytext=(0, 5 if is_above else -5),
                textcoords="offset points",
                ha="right" if arm is one.arms[-1] else "center",  # beside it is the legend
                va="bottom" if is_above else "top",
                weight="bold",
                color=_INK,
            )


def _ranking(page: RankPage, comparison: Comparison, axes: Any, figure: Any) -> None:
    arms = by_quality(page, comparison)
    view = View(page, comparison, _BOX, _BOX.across(heights(page, comparison)))
    marked = {*marks(page), *(arm.name for arm in view.controls)}
    shown = [arm for place, arm in enumerate(arms) if place < _MOST or arm.name in marked]
    figure.set_size_inches(_INCHES[0], max(2.2, 1.1 + _ROW * len(shown)))
    axes.axvspan(*_margin(page, comparison), color=_STRIP, alpha=0.12, lw=0)
    axes.grid(axis="x", alpha=0.3)
    rows = range(len(shown) - 1, -1, -1)
    axes.set_xlim(view.quality.low, view.quality.high)
    values = [_inside(view, arm) for arm in shown]
    scores = [comparison.arms[arm.name].value for arm in shown]
    axes.errorbar(
        values,
        rows,
        xerr=[
            _reach(value - score.low for value, score in zip(values, scores, strict=True)),
            _reach(score.high - value for value, score in zip(values, scores, strict=True)),
        ],
        color=_COLOURS[0],
        marker="o",
        ls="",
    )
    axes.set_yticks(rows, [_told(view, arm) for arm in shown], fontsize=8.5)
    rest = f"; {len(arms) - len(shown)} more arms are in the report" * (len(shown) < len(arms))
    axes.set_xlabel(f"{page.metric}, {direction(page)}; the strip is the margin{rest}", color=_INK)


def _told(view: View, arm: Arm) -> str:
    word = marks(view.page).get(arm.name)
    name = _fit(control_words(view, arm) if arm.is_control else arm.name)
    return f"{name} ({word})" if word else name


def _inside(view: View, arm: Arm) -> float:
    """Return an arm's value; a control far away stands at the edge, as on the page."""
    value = view.comparison.arms[arm.name].value.value
    return min(max(value, view.quality.low), view.quality.high)


def _margin(page: RankPage, comparison: Comparison) -> list[float]:
    best = comparison.arms[comparison.best].value.value
    end = best - comparison.margin if page.larger_is_better else best + comparison.margin
    return sorted((best, end))


def _reach(found: Any) -> list[float]:
    """Return lengths of error bars; where an interval is not known there is none."""
    return [max(0.0, one) if math.isfinite(one) else 0.0 for one in found]


def _fit(name: str) -> str:
    return fit(name, _NAME)
