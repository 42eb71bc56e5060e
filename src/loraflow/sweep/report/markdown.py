"""Shows the rank report as Markdown, for MLflow's description and the Prefect dashboard."""

from collections.abc import Iterator

from loraflow.compare.arms import Comparison
from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.words import gap_text, in_order, not_finished, with_interval


def as_markdown(page: RankPage) -> str:
    """Return the recommendation, the findings and the tables."""
    parts: list[str] = []
    if page.recommendation is not None:
        parts += [f"**{page.recommendation.sentence}**", ""]
    parts += [*(f"- {sentence}" for sentence in page.findings), ""]
    if page.comparison is not None:
        parts += [*_arms(page, page.comparison), ""]
    parts += _others(page)
    return "\n".join(parts).strip()


def _arms(page: RankPage, comparison: Comparison) -> Iterator[str]:
    yield (
        f"**{page.metric}** of {comparison.items} held-out items, 95% intervals over items and "
        f"seeds; margin {comparison.margin:g}"
    )
    yield ""
    yield (
        f"| arm | parameters | {page.metric} | minus the best | p (Holm) | verdict "
        "| would be seen from | s |"
    )
    yield "| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |"
    for arm in in_order(page):
        value = with_interval(page, comparison.arms[arm.name].value)
        gap = comparison.gaps.get(arm.name)
        cells = "| | best | |"
        if gap is not None:
            seen = f"{gap.detectable:.2g}"
            cells = f"{gap_text(page, gap)} | {gap.p_holm:.2g} | {gap.verdict} | {seen} |"
        name = arm.name.replace("|", r"\|")
        yield f"| {name} | {arm.trainable_parameters:,} | {value} | {cells} {arm.seconds:.0f} |"


def _others(page: RankPage) -> Iterator[str]:
    left = not_finished(page)
    if left:
        yield "| trial | state | why |"
        yield "| --- | --- | --- |"
        for trial in left:
            reason = " ".join(trial.reason.split()).replace("|", r"\|")
            yield f"| {trial.name} | {trial.state} | {reason} |"
