"""Shows the rank report in the terminal: the answer, the arms, what failed, where everything is."""

from collections.abc import Mapping

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from loraflow.compare.arms import Comparison
from loraflow.page.text import shorten, visible
from loraflow.sweep.report.answer import sentence_of
from loraflow.sweep.report.content import Arm, RankPage
from loraflow.sweep.report.words import (
    VERDICTS,
    by_quality,
    count_states,
    gap_text,
    marks,
    not_finished,
    number,
    with_interval,
)

_MOST_ARMS, _MOST_TRIALS = 24, 12
_NAME, _REASON = 60, 300  # letters
_NAME_ROOM = 24  # cells that a name gets even where the terminal is narrow
_MOST_SEEDS = 3  # that are written beside each other
_STYLES = {"best": "bold", "good": "green", "near": "green", "open": "yellow", "bad": "red"}


def show_rank(page: RankPage, places: Mapping[str, str]) -> None:
    """Print the recommendation, the table of arms, the counts of trials, and `places`."""
    console = Console()
    console.print()
    console.print(Text(_clean(sentence_of(page)), style="bold"), soft_wrap=True)
    console.print()
    if page.comparison is not None:
        console.print(_table(page, page.comparison))
    for sentence in page.findings:
        console.print(Text(f"* {_clean(sentence)}"), soft_wrap=True)
    if page.trials:
        console.print(Text(f"* Trials: {count_states(page)}"), soft_wrap=True)
    _print_unfinished(console, page)
    console.print()
    for label, where in places.items():
        console.print(f"{label:<12}", Text(where), soft_wrap=True, highlight=False)


def _table(page: RankPage, comparison: Comparison) -> Table:
    arms = by_quality(page, comparison)
    always = {*marks(page), *(arm.name for arm in arms if arm.is_control)}
    shown = [arm for place, arm in enumerate(arms) if place < _MOST_ARMS or arm.name in always]
    rest = f"{len(arms) - len(shown)} more arms are in the report" if len(shown) < len(arms) else ""
    title = f"{page.metric} of {comparison.items:,} held-out items, margin {comparison.margin:g}"
    table = Table(
        title=title,
        caption=rest or None,
        box=box.SIMPLE_HEAD,
        pad_edge=False,
        collapse_padding=True,
    )
    room = min(_NAME_ROOM, max(cell_len(arm.name) for arm in shown))
    table.add_column("arm", min_width=room)
    for name in (page.metric, "seeds", "minus the best", "verdict", "parameters", "s"):
        table.add_column(name, justify="left" if name == "verdict" else "right")
    for arm in shown:
        table.add_row(*_cells(page, comparison, arm))
    return table


def _cells(page: RankPage, comparison: Comparison, arm: Arm) -> list[Text]:
    score, gap = comparison.arms[arm.name], comparison.gaps.get(arm.name)
    verdict = "best" if gap is None else gap.verdict
    said = VERDICTS[verdict]
    words = marks(page).get(arm.name, verdict)
    seeds = [number(page, seed) for seed in score.seeds]
    many = f"{min(seeds)} to {max(seeds)}" if len(seeds) > _MOST_SEEDS else " ".join(seeds)
    return [
        Text(_clean(shorten(arm.name, _NAME)), style="dim" if arm.is_control else ""),
        Text(with_interval(page, score.value)),
        Text(many),
        Text("" if gap is None else gap_text(page, gap)),
        Text(f"{said.sign} {words}", _STYLES[said.look]),
        Text(f"{arm.trainable_parameters:,}"),
        Text(f"{arm.seconds:,.0f}"),
    ]


def _print_unfinished(console: Console, page: RankPage) -> None:
    """Print why trials failed; what was pruned or waits is only counted."""
    failed = [trial for trial in not_finished(page) if trial.state == "failed"]
    for trial in failed[:_MOST_TRIALS]:
        words = f"  {_clean(trial.name)}: {_clean(shorten(trial.reason, _REASON))}"
        console.print(Text("  failed", style="red") + Text(words), soft_wrap=True)
    if len(failed) > _MOST_TRIALS:
        console.print(
            f"  {len(failed) - _MOST_TRIALS} more failed; their reasons are in the report"
        )


def _clean(words: str) -> str:
    return visible(" ".join(words.split()))
