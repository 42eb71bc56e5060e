"""Shows an evaluation as Markdown, for MLflow's description and the Prefect dashboard."""

from collections.abc import Iterator, Sequence

from loraflow.evaluate.report.content import EvaluationPage, Score


def as_markdown(page: EvaluationPage) -> str:
    """Return the findings and the tables of numbers."""
    parts = [*(f"- {sentence}" for sentence in page.findings), ""]
    titles: list[tuple[str, Sequence[Score]]] = [
        (f"{len(page.items)} held-out items", page.scores),
        ("General ability, which the tuning did not touch", page.probes),
    ]
    if page.bench is not None:
        rated = f"Two-turn questions, rated by {page.bench.judge}"
        titles.append((rated, [*page.bench.overall, *page.bench.categories]))
    for title, scores in titles:
        if scores:
            parts += [f"**{title}** (95% intervals)", "", *_table(scores), ""]
    return "\n".join(parts).strip()


def _table(scores: Sequence[Score]) -> Iterator[str]:
    if all(score.tuned is None for score in scores):
        yield "| metric | base | 95% interval |"
        yield "| --- | ---: | :---: |"
        for score in scores:
            span = score.base
            yield (f"| {score.name} | {span.value:.4g} | {span.low:.4g} to {span.high:.4g} |")
        return
    yield "| metric | base | tuned | difference | 95% interval |"
    yield "| --- | ---: | ---: | ---: | :---: |"
    for score in scores:
        yield _row(score)


def _row(score: Score) -> str:
    note = f" ({score.note})" if score.note else ""
    tuned = "-" if score.tuned is None else f"{score.tuned.value:.4g}"
    gap = score.difference
    change = "- | -" if gap is None else f"{gap.mean:+.3g} | {gap.low:+.3g} to {gap.high:+.3g}"
    return f"| {score.name}{note} | {score.base.value:.4g} | {tuned} | {change} |"
