"""Shows the rank report in the terminal: the arms, what they say, and where everything is."""

from collections.abc import Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loraflow.compare.arms import Comparison, Gap
from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.words import gap_text, in_order, not_finished, with_interval

_STYLES = {"worse": "red", "worse, within the margin": "yellow", "equivalent": "green"}


def show_rank(page: RankPage, places: Mapping[str, str]) -> None:
    """Print the table of arms, the recommendation, what did not finish, and `places`."""
    console = Console()
    console.print()
    if page.comparison is not None:
        console.print(_table(page, page.comparison))
    for trial in not_finished(page):
        console.print(Text(f"{trial.state}: {trial.name}  {trial.reason}"), soft_wrap=True)
    for sentence in page.findings:
        console.print(Text(f"* {sentence}"), soft_wrap=True)
    if page.recommendation is not None:
        console.print()
        console.print(Text(page.recommendation.sentence, style="bold"), soft_wrap=True)
    console.print()
    for label, where in places.items():
        console.print(f"{label:<12}", Text(where), soft_wrap=True, highlight=False)


def _table(page: RankPage, comparison: Comparison) -> Table:
    table = Table(title=f"{page.metric} of {comparison.items} held-out items, {_seeds(comparison)}")
    table.add_column("arm")
    for name in ("parameters", "95% interval", "minus the best", "verdict"):
        table.add_column(name, justify="right")
    for arm in in_order(page):
        gap = comparison.gaps.get(arm.name)
        table.add_row(
            Text(arm.name, style="dim" if arm.is_control else ""),
            f"{arm.trainable_parameters:,}",
            with_interval(page, comparison.arms[arm.name].value),
            "" if gap is None else gap_text(page, gap),
            _verdict(gap),
        )
    return table


def _verdict(gap: Gap | None) -> Text:
    return Text("best", "bold") if gap is None else Text(gap.verdict, _STYLES.get(gap.verdict, ""))


def _seeds(comparison: Comparison) -> str:
    most = max(len(score.seeds) for score in comparison.arms.values())
    return "one seed" if most == 1 else f"{most} seeds"
