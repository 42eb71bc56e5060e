"""Turns the content of an evaluation into a page: evaluation.html, complete in itself."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from loraflow.evaluate.report.budget import choose_limit
from loraflow.evaluate.report.content import ARMS, Bench, EvaluationPage
from loraflow.evaluate.report.forest import (
    BETTER,
    CHANGED,
    UNCLEAR,
    WORSE,
    Row,
    Verdict,
    against_chance,
    draw_rows,
    draw_rows_alike,
    mark_share,
)
from loraflow.evaluate.report.lists import list_conversations, list_items
from loraflow.evaluate.report.numbers import plain, share, share_span, signed, signed_span, span
from loraflow.evaluate.report.radar import draw_radar
from loraflow.evaluate.report.shown import change, is_long
from loraflow.page.render import Filters, render_page

_FILTERS: Filters = {
    "plain": plain,
    "signed": signed,
    "span": span,
    "signed_span": signed_span,
    "share": share,
    "share_span": share_span,
    "share_mark": mark_share,
    "against_chance": against_chance,
    "change": change,
    "long": is_long,
}


def render_evaluation(page: EvaluationPage) -> str:
    """Return the page. It may hold half surrogates: encode it with errors="backslashreplace"."""
    bench = page.bench or Bench("", True, 0)
    scores, probes = draw_rows(page.scores), draw_rows(page.probes)
    values = {
        "page": page,
        "contents": _contents(page),
        "limit": choose_limit(page),
        "scores": scores,
        "probes": probes,
        "tally": _tally(scores),
        "overall": draw_rows_alike(bench.overall),
        "categories": draw_rows_alike(bench.categories),
        "radar": draw_radar(bench.categories),
        "items": list_items(page.items, page.scores),
        "conversations": list_conversations(bench.conversations),
        "verdicts": (BETTER, WORSE, UNCLEAR, CHANGED),
    }
    return render_page(
        "evaluation.html.j2",
        values,
        package=__package__,
        filters={**_FILTERS, "arms": _arms, "chained": _chained},
        script="evaluation.js",
    )


def _contents(page: EvaluationPage) -> list[tuple[str, str]]:
    """Return the sections that have something to show."""
    sections = (
        ("findings", "Findings", page.findings),
        ("scores", "Scores", page.scores),
        ("mt-bench", "MT-Bench", page.bench),
        ("forgetting", "Forgetting", page.probes),
        ("judges", "Judges" if len(page.cards) > 1 else "Judge", page.cards),
        ("items", "Items", page.items),
        ("conversations", "Conversations", page.bench and page.bench.conversations),
        ("prompts", "Prompts", page.prompts),
    )
    return [(section, name) for section, name, content in sections if content]


def _tally(rows: Sequence[Row]) -> list[tuple[Verdict, int]]:
    """Count the verdicts; scores with a reservation do not count."""
    found = Counter(row.verdict for row in rows if row.verdict and not row.score.note)
    kinds = (BETTER, WORSE, UNCLEAR, *([CHANGED] if found[CHANGED] else []))
    return [(verdict, found[verdict]) for verdict in kinds] if found else []


def _arms(answers: Iterable[Mapping[str, object]]) -> list[str]:
    """Return the arms that answered anything."""
    known = set(chain.from_iterable(answers))
    return [arm for arm in ARMS if arm in known]


def _chained(lists: Iterable[Sequence[object]]) -> list[object]:
    return list(chain.from_iterable(lists))
