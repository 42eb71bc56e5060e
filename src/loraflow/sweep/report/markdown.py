"""Shows the rank report as Markdown, for MLflow's description and the Prefect dashboard."""

import re
from collections.abc import Iterator, Sequence

from loraflow.compare.arms import Comparison
from loraflow.page.text import shorten, visible
from loraflow.sweep.report.answer import sentence_of
from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.words import (
    by_quality,
    count_states,
    gap_text,
    marks,
    not_finished,
    small,
    with_interval,
)

_MOST_ARMS, _MOST_TRIALS = 24, 12  # in a note, which is read at a glance
_NAME, _REASON = 80, 160  # letters
_SPECIAL = re.compile(r"[\\`*\[\]<>|#]|(?<![^\W_])_|_(?![^\W_])")  # inside a word _ is a letter


def as_markdown(page: RankPage) -> str:
    """Return the recommendation, the findings, the arms with their differences, what failed."""
    parts = [f"**{_safe(sentence_of(page), 3_000)}**", ""]
    parts += [*(f"- {_safe(sentence, 1_000)}" for sentence in page.findings), ""]
    if page.comparison is not None:
        parts += [*_arms(page, page.comparison), ""]
    parts += _not_finished(page)
    return "\n".join(parts).strip()


def _arms(page: RankPage, comparison: Comparison) -> Iterator[str]:
    yield (
        f"**{_safe(page.metric)}** of {comparison.items:,} held-out items with 95% intervals over "
        f"items and seeds; the margin is {comparison.margin:g}"
    )
    yield ""
    yield (
        f"| arm | {_safe(page.metric)} | minus the best | p (Holm) | verdict | seen from "
        "| parameters | s |"
    )
    yield "| --- | ---: | ---: | ---: | --- | ---: | ---: | ---: |"
    arms, marked = by_quality(page, comparison), marks(page)
    always = {*marked, *(arm.name for arm in arms if arm.is_control)}
    shown = [arm for place, arm in enumerate(arms) if place < _MOST_ARMS or arm.name in always]
    for arm in shown:
        gap = comparison.gaps.get(arm.name)
        cells = "| | best | |"
        if gap is not None:
            verdict = ", ".join(filter(None, [gap.verdict, marked.get(arm.name)]))
            cells = (
                f"{gap_text(page, gap)} | {small(gap.p_holm)} | {verdict} "
                f"| {small(gap.detectable)} |"
            )
        value = with_interval(page, comparison.arms[arm.name].value)
        yield (
            f"| {_safe(arm.name)} | {value} | {cells} {arm.trainable_parameters:,} "
            f"| {arm.seconds:.0f} |"
        )
    if len(arms) > len(shown):
        yield ""
        yield f"{len(arms) - len(shown)} more arms are in the report."


def _not_finished(page: RankPage) -> Sequence[str]:
    left = not_finished(page)
    if not left:
        return []
    rows = [
        f"| {_safe(trial.name)} | {trial.state} | {_safe(trial.reason, _REASON)} |"
        for trial in left[:_MOST_TRIALS]
    ]
    more = len(left) - len(rows)
    rest = ["", f"{more} more are in the report."] if more else []
    head = [f"Trials: {count_states(page)}", "", "| trial | state | why |", "| --- | --- | --- |"]
    return [*head, *rows, *rest]


def _safe(words: str, limit: int = _NAME) -> str:
    """Return words on one line in which nothing is a sign of Markdown."""
    words = visible(shorten(" ".join(words.split()), limit))
    return _SPECIAL.sub(r"\\\g<0>", words)
