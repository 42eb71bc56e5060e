"""Turns the content of the rank report into a page, complete in itself."""

from markupsafe import Markup

from loraflow.page.render import render_page
from loraflow.sweep.report.charts.curves import draw_curves
from loraflow.sweep.report.charts.gaps import gap_rows
from loraflow.sweep.report.charts.heatmap import draw_heatmap
from loraflow.sweep.report.charts.parallel import draw_parallel
from loraflow.sweep.report.charts.pareto import draw_pareto
from loraflow.sweep.report.charts.quality import draw_quality, lines_of, numeric_dimension
from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.words import gap_text, number, with_interval

_HEADS = {
    "enough": "{} is enough",
    "best": "{} is best",
    "cannot tell": "{} is inside the noise of the best: more items would tell",
    "no gain": "No adapter is clearly better than {}",
}


def render(page: RankPage) -> str:
    """Return the page. It may hold half surrogates: encode it with errors="backslashreplace"."""
    comparison = page.comparison
    charts = _charts(page)
    values = {
        "page": page,
        "head": _head(page),
        "charts": charts,
        "lines": list(lines_of(page, dimension)) if (dimension := numeric_dimension(page)) else [],
        "gaps": gap_rows(page, comparison) if comparison else [],
        "importances": sorted(
            (one for one in page.dimensions if one.importance is not None),
            key=lambda one: -(one.importance or 0),
        ),
        "contents": _contents(page, charts),
    }
    filters = {
        "with_interval": lambda found: with_interval(page, found),
        "gap": lambda gap: gap_text(page, gap),
        "number": lambda value: number(page, value),
    }
    return render_page("rank.html.j2", values, package=__package__, filters=filters)


def _head(page: RankPage) -> str:
    found = page.recommendation
    if found is None:
        return "Nothing to compare yet"
    named = found.inside_noise if found.kind == "cannot tell" else found.arm or found.inside_noise
    return _HEADS[found.kind].format(named)


def _charts(page: RankPage) -> dict[str, Markup | None]:
    return {
        "quality": draw_quality(page),
        "parameters": draw_pareto(
            page, lambda arm: arm.trainable_parameters, "trainable parameters", log=True
        ),
        "seconds": draw_pareto(page, lambda arm: arm.seconds, "seconds of training", log=False),
        "heatmap": draw_heatmap(page),
        "parallel": draw_parallel(page),
        "training": draw_curves(page, validation=False),
        "validation": draw_curves(page, validation=True),
    }


def _contents(page: RankPage, charts: dict[str, Markup | None]) -> list[tuple[str, str]]:
    sections = (
        ("answer", "The answer", True),
        ("quality", "Quality", charts["quality"] or charts["heatmap"]),
        ("gaps", "Differences", page.comparison),
        ("cost", "Cost", charts["parameters"] or charts["seconds"]),
        ("trials", "All trials", page.trials),
        ("curves", "Learning curves", charts["training"] or charts["validation"]),
        ("reading", "How to read this", True),
    )
    return [(section, name) for section, name, content in sections if content]
