"""Shows an evaluation in the terminal: scores, findings, a few answers, where everything is."""

from collections.abc import Iterator, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from loraflow.evaluate.report.content import EvaluationPage, Item, Score

_SHOWN_ANSWERS = 3


def show_evaluation(page: EvaluationPage, places: Mapping[str, str]) -> None:
    """Print the tables, what they say, sample answers, and `places` (label -> where)."""
    console = Console()
    console.print()
    for title, scores in _parts(page):
        console.print(_table(title, scores))
    for item in page.items[:_SHOWN_ANSWERS]:
        if item.answers:  # raw text is read, not answered
            console.print(_answers(item))
    for card in page.cards:
        console.print(Text(card.sentences[0] if card.sentences else card.name), soft_wrap=True)
    for sentence in page.findings:
        console.print(Text(f"* {sentence}"), soft_wrap=True)
    console.print()
    for label, where in places.items():
        console.print(f"{label:<12}", Text(where), soft_wrap=True, highlight=False)


def _parts(page: EvaluationPage) -> Iterator[tuple[str, Sequence[Score]]]:
    if page.scores:
        yield f"{len(page.items)} held-out items", page.scores
    if page.probes:
        yield "General ability, untouched by the tuning", page.probes
    if page.bench is not None:
        scores = [*page.bench.overall, *page.bench.categories]
        yield f"Two-turn questions, rated by {page.bench.judge}", scores


def _table(title: str, scores: Sequence[Score]) -> Table:
    table = Table(title=title)
    table.add_column("metric")
    both = any(score.tuned is not None for score in scores)
    for name in (
        ("base", "tuned", "difference", "95% interval") if both else ("base", "95% interval")
    ):
        table.add_column(name, justify="right")
    for score in scores:
        table.add_row(Text(score.name, style="dim" if score.note else ""), *_cells(score, both))
    return table


def _cells(score: Score, both: bool) -> Sequence[Text | str]:
    base, tuned, gap = score.base, score.tuned, score.difference
    if not both:
        return (f"{base.value:.4g}", f"{base.low:.3g} to {base.high:.3g}")
    return (
        f"{base.value:.4g}",
        "-" if tuned is None else f"{tuned.value:.4g}",
        _difference(score),
        "-" if gap is None else f"{gap.low:+.3f} to {gap.high:+.3f}",
    )


def _difference(score: Score) -> Text:
    gap = score.difference
    if gap is None:
        return Text("-")
    if not gap.is_clear or score.larger_is_better is None or score.note:
        return Text(f"{gap.mean:+.4g}")  # inside the noise, or neither better nor worse
    better = (gap.low > 0) == score.larger_is_better
    return Text(f"{gap.mean:+.4g}", style="green" if better else "red")


def _answers(item: Item) -> Table:
    table = Table(title=Text(_shorten(" ".join(item.prompt.split()))), title_justify="left")
    for name in ("reference", *item.answers):
        table.add_column(name, ratio=1, overflow="fold")
    table.add_row(*(Text(_shorten(text)) for text in (item.reference, *item.answers.values())))
    return table


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
