"""Turns the records of all nights into a page, complete in itself."""

from collections.abc import Sequence

from loraflow.evaluate.report.numbers import digits_of, plain, signed, signed_span, span
from loraflow.page.charts.marks import SIGNS, series
from loraflow.page.render import Filters, render_page
from loraflow.promote.drift.measure import TITLES
from loraflow.promote.history.answer import answer_of
from loraflow.promote.history.looks import LOOKS
from loraflow.promote.history.nights import counts_of, read_nights, took
from loraflow.promote.history.score import draw_score
from loraflow.promote.history.trends import (
    draw_data,
    draw_differences,
    draw_drift,
    draw_durations,
    features_of,
)
from loraflow.promote.record import NightRecord

_WIDE, _NARROW = 900.0, 430.0  # units: the narrow one is for telephones
_SHOWN = 60  # nights of the table from which on the rest is folded
_SECTIONS = (
    ("answer", "The answer"),
    ("score", "Champion over time"),
    ("trends", "What stands behind it"),
    ("nights", "All nights"),
    ("reading", "How to read this"),
)
_NOTES = {
    "new_rows": "+%s new",
    "rejected": "%s rejected",
    "gate_rows_removed": "\u2212%s in gate set",
}


def render(records: Sequence[NightRecord]) -> str:
    """Return the page. It may hold half surrogates: encode it with errors="backslashreplace"."""
    nights = read_nights(records)
    charts = (
        ("Challenger against champion", draw_differences(nights)),
        ("Data", draw_data(nights)),
        ("Drift", draw_drift(nights)),
        ("Durations", draw_durations(nights)),
    )
    values = {
        "contents": _SECTIONS if nights else _SECTIONS[:1],
        "answer": answer_of(nights),
        "nights": nights[::-1],
        "shown": _SHOWN,
        "score": {"wide": draw_score(nights, _WIDE), "narrow": draw_score(nights, _NARROW)},
        "charts": [(name, chart) for name, chart in charts if chart is not None],
        "features": [
            (series(place), SIGNS[place % len(SIGNS)], TITLES.get(name, name))
            for place, name in enumerate(features_of(nights))
        ],
        "counts": counts_of(nights),
        "looks": LOOKS,
        "titles": TITLES,
        "notes": _NOTES,
    }
    filters: Filters = {
        "plain": plain,
        "signed": signed,
        "span": span,
        "signed_span": signed_span,
        "took": took,
        "digits": digits_of,
    }
    return render_page("history.html.j2", values, package=__package__, filters=filters)
