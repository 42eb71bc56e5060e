"""Turns an A/B test into a page, complete in itself."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from loraflow.evaluate.report.numbers import signed, signed_span
from loraflow.page.charts.marks import SIGNS
from loraflow.page.render import Filters, render_page
from loraflow.page.tile import Tile
from loraflow.serve.traffic.gather import Report
from loraflow.serve.traffic.ratings import RATINGS_OF_A_VOTE
from loraflow.serve.traffic.report.pictures import draw_days, draw_latencies, draw_sequence
from loraflow.serve.traffic.report.words import (
    TONES,
    count_text,
    difference_of,
    finish_text,
    notes_of,
    p_text,
    rate_text,
    seconds_text,
    time_text,
)

PAGE = "ab.html"

_WIDE, _NARROW = 900.0, 430.0  # units: the narrow one is for telephones
_CANNOT_TELL = "it does not tell these answers from spoilt ones, so its verdicts say nothing"
_NO_VOTES = {"split": "nobody has rated", "shadow": "no pair is judged"}
_Row = tuple[str, str, Sequence[str]]


def write_page(report: Report, out: Path) -> Path:
    """Write ab.html to the folder `out`, and return it.

    Who reads it meanwhile sees the old page or the new one.
    """
    out.mkdir(parents=True, exist_ok=True)
    partial, page = out / f".{PAGE}.partial", out / PAGE
    partial.write_text(render(report), encoding="utf-8", errors="backslashreplace")
    partial.replace(page)
    return page


def render(report: Report) -> str:
    """Return the page. It may hold half surrogates: encode it with errors="backslashreplace"."""
    traffic, finding = report.traffic, report.finding
    charts = (
        ("Ratings by day", draw_days(traffic)),
        ("Latencies", draw_latencies(traffic.arms)),
    )
    wide = draw_sequence(finding, _WIDE) if report.is_told else None
    complaints = traffic.complaints
    needed = finding.needed if report.verdict == "open" and report.is_told else []
    values = {
        "contents": list(_sections(wide is not None, bool(complaints), bool(needed))),
        "report": report,
        "tone": TONES[report.verdict],
        "is_split": finding.kind == "split",
        "dates": f"until {time_text(report.now)}",
        "lede": _lede(report),
        "tiles": list(_tiles(report)),
        "notes": notes_of(report),
        "sequence": {"wide": wide, "narrow": wide and draw_sequence(finding, _NARROW)},
        "arms": traffic.arms,
        "rows": list(_rows(report)),
        "charts": [(name, chart) for name, chart in charts if chart is not None],
        "needed": needed,
        "complaints": complaints,
        "signs": SIGNS,
        "block": finding.block,
        "of_a_vote": RATINGS_OF_A_VOTE,
    }
    filters: Filters = {"time": time_text}
    return render_page("ab.html.j2", values, package=__package__, filters=filters)


def _lede(report: Report) -> str:
    """Return what stands behind the head, as a sentence."""
    words = report.finding.evidence if report.is_told else report.why_not or _CANNOT_TELL
    return f"{words[0].upper()}{words[1:].rstrip('.')}."


def _sections(
    has_sequence: bool, has_complaints: bool, has_needed: bool
) -> Iterator[tuple[str, str]]:
    yield "answer", "The verdict"
    if has_sequence:
        yield "sequence", "Over time"
    yield "arms", "The arms"
    if has_needed:
        yield "needed", "Votes it takes"
    if has_complaints:
        yield "complaints", "Thumbs down"
    yield "reading", "How to read this"


def _tiles(report: Report) -> Iterator[Tile]:
    arms, finding = report.traffic.arms, report.finding
    if (found := difference_of(report)) is not None:
        more = f"{signed_span(found, 2)}, at all times"
        yield Tile("candidate \u2212 control", signed(found.mean, 2), more)
        yield Tile("p, at any time", p_text(report), "of no difference")
    all_in = "all are in" if finding.votes else _NO_VOTES[finding.kind]
    waiting = f"{finding.waiting:,} more to come" if finding.waiting else all_in
    yield Tile("votes", f"{finding.votes:,}", waiting)
    for arm in arms:
        if arm.rate is not None:
            yield Tile(
                f"{arm.adapter.arm}: thumbs up", f"{arm.rate.value:.0%}", _of(arm.up, arm.down)
            )
    requests = [f"{arm.requests:,}" for arm in arms]
    total = sum(arm.requests for arm in arms)
    yield Tile("requests", f"{total:,}", " and ".join(requests))


def _of(up: int, down: int) -> str:
    return f"{up:,} of {up + down:,} ratings"


def _rows(report: Report) -> Iterator[_Row]:
    arms = report.traffic.arms
    yield "Requests", "", [f"{arm.requests:,}" for arm in arms]
    yield "Users or first questions", "", [f"{arm.users:,}" for arm in arms]
    yield "Thumbs up, down", "the latest of each answer", [f"{a.up:,}, {a.down:,}" for a in arms]
    yield "Share up", "95% interval for one look", [rate_text(arm) for arm in arms]
    yield "Users who rate", "", [f"{arm.raters:,}" for arm in arms]
    yield "Answers rewritten", "by users", [f"{arm.better:,}" for arm in arms]
    yield "First token", "p50 / p95", [seconds_text(arm.first_token_seconds) for arm in arms]
    yield "Whole answer", "p50 / p95", [seconds_text(arm.seconds) for arm in arms]
    yield "Tokens of an answer", "p50 / p95", [count_text(arm.answer_tokens) for arm in arms]
    yield "Ended", "", [finish_text(arm) for arm in arms]
