"""Turns the content of the rank report into a page, complete in itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from loraflow.evaluate.report.numbers import digits_of, plain, signed, signed_span, span
from loraflow.page.render import Filters, render_page
from loraflow.sweep.report.answer import answer_of
from loraflow.sweep.report.charts.backdrop import arm_numbers
from loraflow.sweep.report.charts.curves import draw_curves, draws_every_step
from loraflow.sweep.report.charts.forest import draw_forest
from loraflow.sweep.report.charts.heatmap import draw_heatmap
from loraflow.sweep.report.charts.lines import (
    colours_of,
    compared,
    is_numeric,
    name_value,
    write_value,
)
from loraflow.sweep.report.charts.parallel import draw_parallel
from loraflow.sweep.report.charts.pareto import draw_pareto
from loraflow.sweep.report.charts.quality import Quality, draw_quality
from loraflow.sweep.report.charts.slices import draw_slices
from loraflow.sweep.report.content import Dimension, RankPage, Value
from loraflow.sweep.report.costs import costs_of
from loraflow.sweep.report.words import (
    STATES,
    VERDICTS,
    count_states,
    direction,
    in_order,
    marks,
    small,
    verdict_of,
)

_FOLDED = 30  # rows of a table from which on the rest is folded


@dataclass(frozen=True)
class _Charts:
    """Drawings; None: there is nothing to draw."""

    quality: Quality | None
    costs: Sequence[Markup]
    heatmap: Markup | None
    parallel: Markup | None
    slices: Sequence[Markup]
    curves: Sequence[Markup]
    thin: bool  # every step of training is drawn too


def render(page: RankPage) -> str:
    """Return the page. It may hold half surrogates: encode it with errors="backslashreplace"."""
    charts, comparison = _draw(page), page.comparison
    values = {
        "page": page,
        "answer": answer_of(page),
        "contents": _contents(page, charts),
        "charts": charts,
        "forest": draw_forest(page, comparison) if comparison else None,
        "marks": marks(page),
        "verdicts": VERDICTS,
        "states": STATES,
        "counts": count_states(page),
        "direction": direction(page),
        "digits": digits_of(page.metric),
        "arms": in_order(page),
        "costs": costs_of(page),
        "numbers": arm_numbers(page),
        "compared": compared(page),
        "importances": _importances(page),
        "keys": _keys(page),
        "folded": _FOLDED,
    }
    filters: Filters = {
        "plain": plain,
        "signed": signed,
        "span": span,
        "signed_span": signed_span,
        "small": small,
        "verdict": lambda arm: verdict_of(comparison, arm) if comparison else "",
    }
    return render_page(
        "rank.html.j2", values, package=__package__, filters=filters, script="rank.js"
    )


def _draw(page: RankPage) -> _Charts:
    costs = (
        draw_pareto(page, lambda arm: arm.trainable_parameters, "trainable parameters"),
        draw_pareto(page, lambda arm: arm.seconds, "seconds of training"),
    )
    curves = (draw_curves(page, validation=False), draw_curves(page, validation=True))
    return _Charts(
        draw_quality(page),
        [chart for chart in costs if chart is not None],
        draw_heatmap(page),
        draw_parallel(page),
        draw_slices(page),
        [chart for chart in curves if chart is not None],
        draws_every_step(page),
    )


def _contents(page: RankPage, charts: _Charts) -> list[tuple[str, str]]:
    """Return the sections that have something to show."""
    sections: Sequence[tuple[str, str, object]] = (
        ("answer", "The answer", True),
        ("quality", "Quality", charts.quality),
        ("cost", "Cost and quality", charts.costs),
        ("map", "Map", charts.heatmap),
        ("differences", "Differences", page.comparison),
        ("space", "Search space", charts.parallel or _importances(page) or charts.slices),
        ("curves", "Learning curves", charts.curves),
        ("arms", "All arms", page.arms),
        ("trials", "All trials", page.trials),
        ("reading", "How to read this", True),
    )
    return [(section, name) for section, name, content in sections if content]


def _importances(page: RankPage) -> list[Dimension]:
    known = [one for one in page.dimensions if one.importance is not None]
    return sorted(known, key=lambda one: -(one.importance or 0.0))


def _keys(page: RankPage) -> Mapping[str, str]:
    """Return what the colours of trials mean: class -> the values that share it."""
    colours = colours_of(page)
    if colours.dimension is None:
        return {}
    values: dict[str, list[Value]] = {}
    for value, look in colours.looks.items():
        values.setdefault(look, []).append(value)
    return {look: _name_values(colours.dimension, found) for look, found in values.items()}


def _name_values(dimension: Dimension, values: Sequence[Value]) -> str:
    if not is_numeric(dimension):
        return ", ".join(name_value(dimension, value) for value in values)
    first, last = name_value(dimension, values[0]), write_value(values[-1])
    return first if len(values) == 1 else f"{first} to {last}"
