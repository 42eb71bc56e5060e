"""Quality against r as a picture, for Prefect and for READMEs."""

import io
import warnings
from typing import Any

from loraflow.compare.arms import Comparison
from loraflow.sweep.report.charts.quality import lines_of, numeric_dimension
from loraflow.sweep.report.content import Arm, RankPage

_COLOURS = ("#2f6d8c", "#cf5327", "#0f7f69", "#b14d88", "#d9a021", "#59636a")  # those of the page
_INCHES, _DPI = (8.0, 4.2), 110
_FONTS = ["DejaVu Sans", "Noto Sans CJK SC", "Noto Sans CJK JP", "WenQuanYi Zen Hei"]


def quality_picture(page: RankPage) -> bytes:
    """Return a PNG; arms without a number to stand by are left out."""
    import matplotlib as mpl  # noqa: PLC0415 - a second that the text alone need not wait for
    from matplotlib.figure import Figure  # noqa: PLC0415
    from matplotlib.font_manager import fontManager  # noqa: PLC0415

    known = {font.name for font in fontManager.ttflist}
    fonts = [font for font in _FONTS if font in known]
    target = io.BytesIO()
    with mpl.rc_context({"font.family": fonts}), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", "Glyph .* missing from font"
        )  # a box is no reason to stop
        figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(page.title)
        if page.comparison is not None:
            _draw(page, page.comparison, axes)
        figure.savefig(target, format="png")
    return target.getvalue()


def _draw(page: RankPage, comparison: Comparison, axes: Any) -> None:
    axes.set_ylabel(f"{page.metric}, 95% intervals")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", alpha=0.3)
    best = comparison.arms[comparison.best].value.value
    end = best - comparison.margin if page.larger_is_better else best + comparison.margin
    axes.axhspan(*sorted((best, end)), color="#0f7f69", alpha=0.12, lw=0, label="within the margin")
    for arm in page.arms:
        if arm.is_control:
            value = comparison.arms[arm.name].value.value
            axes.axhline(value, color="#59636a", ls="--", lw=1, label=arm.name)
    dimension = numeric_dimension(page)
    if dimension is not None:
        for place, (name, arms) in enumerate(lines_of(page, dimension).items()):
            across = [float(arm.values[dimension.name] or 0) for arm in arms]
            _line(comparison, arms, across, axes, name=name, colour=_COLOURS[place % len(_COLOURS)])
        ticks = sorted({float(value or 0) for value in dimension.values})
        if ticks[0] > 0:
            axes.set_xscale("log", base=2)
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.set_xlabel(dimension.name)
    axes.legend(frameon=False, fontsize=9)


def _line(
    comparison: Comparison,
    arms: list[Arm],
    across: list[float],
    axes: Any,
    *,
    name: str,
    colour: str,
) -> None:
    scores = [comparison.arms[arm.name] for arm in arms]
    lows, highs = [min(one.seeds) for one in scores], [max(one.seeds) for one in scores]
    axes.fill_between(across, lows, highs, color=colour, alpha=0.18, lw=0)
    axes.errorbar(
        across,
        [one.value.value for one in scores],
        yerr=[
            [one.value.value - one.value.low for one in scores],
            [one.value.high - one.value.value for one in scores],
        ],
        color=colour,
        marker="o",
        capsize=3,
        lw=1.6,
        label=name or "tuned",
    )
