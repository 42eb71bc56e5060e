"""The rank report as bare numbers: metrics of its MLflow run, and rows of Prefect's table."""

from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.words import by_quality, gap_text, verdict_of, with_interval


def metrics_of(page: RankPage) -> dict[str, float]:
    """Return the numbers of the report under their names in MLflow."""
    states = [trial.state for trial in page.trials]
    found: dict[str, float] = {
        f"sweep/{state}": states.count(state) for state in ("finished", "pruned", "failed")
    }
    comparison = page.comparison
    if comparison is not None:
        best = comparison.arms[comparison.best].value
        found |= {
            f"sweep/best_{page.metric}": best.value,
            f"sweep/best_{page.metric}_low": best.low,
            f"sweep/best_{page.metric}_high": best.high,
            "sweep/margin": comparison.margin,
            "sweep/items": comparison.items,
        }
        if comparison.seed_deviation is not None:
            found["sweep/seed_deviation"] = comparison.seed_deviation
    return found


def table_of(page: RankPage) -> list[dict[str, str]]:
    """Return a row for each compared arm, the best first; none where nothing is compared."""
    comparison = page.comparison
    if comparison is None:
        return []
    gaps = {name: gap_text(page, gap) for name, gap in comparison.gaps.items()}
    return [
        {
            "arm": arm.name,
            page.metric: with_interval(page, comparison.arms[arm.name].value),
            "minus the best": gaps.get(arm.name, ""),
            "verdict": verdict_of(comparison, arm.name),
            "trainable parameters": f"{arm.trainable_parameters:,}",
            "seconds": f"{arm.seconds:.0f}",
        }
        for arm in by_quality(page, comparison)
    ]
