"""Shows a decision as Markdown, for the Prefect dashboard, MLflow and the terminal."""

import math
import re
from collections.abc import Iterator

from loraflow.compare.metrics import METRICS
from loraflow.page.text import spell_unseen
from loraflow.promote.gate.decision import Decision, Guard

_SPECIAL = re.compile(r"[\\`*\[\]<>|#]|(?<![^\W_])_|_(?![^\W_])")  # inside a word _ is a letter


def as_markdown(decision: Decision) -> str:
    """Return the verdict, the numbers of both models, and what each guard found."""
    return "\n".join(
        [f"**{_safe(decision.sentence)}**", "", *_numbers(decision), "", *_guards(decision)]
    )


def _numbers(decision: Decision) -> Iterator[str]:
    better = "higher" if METRICS[decision.metric].larger_is_better else "lower"
    yield f"| {decision.metric} ({better} is better) | value | 95% interval |"
    yield "| --- | ---: | ---: |"
    for name, found in (
        (decision.reference, decision.champion),
        ("challenger", decision.challenger),
    ):
        yield f"| {_safe(name)} | {_number(found.value)} | {_range(found.low, found.high)} |"
    gap = decision.difference
    yield f"| gain (above 0 is better) | {_number(gap.mean)} | {_range(gap.low, gap.high)} |"
    yield ""
    yield (
        f"{decision.items:,} rows of the gate set {decision.gate[:12]}, item by item; the gain's "
        f"interval must lie above {decision.margin:g}."
    )


def _guards(decision: Decision) -> Iterator[str]:
    yield "| guard | | what it found |"
    yield "| --- | --- | --- |"
    for guard in decision.guards:
        yield f"| {guard.name.replace('_', ' ')} | {_verdict(guard)} | {_safe(guard.words)} |"


def _verdict(guard: Guard) -> str:
    return "✓ passed" if guard.passed else "✗ **failed**"


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "none"


def _range(low: float, high: float) -> str:
    return f"{low:.4g} to {high:.4g}" if math.isfinite(high - low) else "none"


def _safe(words: str) -> str:
    """Return words on one line in which nothing is a sign of Markdown."""
    shown = spell_unseen(" ".join(words.split())).encode("utf-8", "backslashreplace").decode()
    return _SPECIAL.sub(r"\\\g<0>", shown)
