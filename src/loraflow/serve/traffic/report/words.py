"""How the page and the terminal write what was measured."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from loraflow.compare.statistics import Difference
from loraflow.evaluate.report.numbers import signed, signed_span
from loraflow.serve.traffic.arms import ArmSummary, Quantiles
from loraflow.serve.traffic.gather import Report
from loraflow.serve.traffic.ratings import RATINGS_OF_A_VOTE
from loraflow.serve.traffic.shadows import Judged

MISSING = "\u2013"  # a dash
TONES = {"better": "good", "worse": "bad", "open": "note", "changed": "note"}
_DIGITS = 2
_OPEN = {
    "split": ("rated but not yet voted", "ratings"),
    "shadow": ("judged pairs but no vote yet", "pairs"),
}


def difference_of(report: Report) -> Difference | None:
    """Return the difference with the interval that holds at all times.

    None before any block, from a judge that cannot tell, and where no single difference fits.
    """
    found = report.finding.followed
    if not len(found.mean) or not report.is_told or report.verdict == "changed":
        return None
    return Difference(float(found.mean[-1]), float(found.low[-1]), float(found.high[-1]))


def gap_text(found: Difference) -> str:
    """Return the difference with its bounds."""
    return f"{signed(found.mean, _DIGITS)} ({signed_span(found, _DIGITS)})"


def p_text(report: Report) -> str:
    """Return the p-value of no difference that holds at all times, of the blocks so far."""
    p = report.finding.followed.p[-1]
    return "<0.001" if p < 0.001 else f"{p:.3f}"  # noqa: PLR2004 - as it is written


def rate_text(arm: ArmSummary) -> str:
    """Return the share of thumbs up with its interval."""
    return MISSING if arm.rate is None else arm.rate.as_share()


def seconds_text(found: Quantiles | None) -> str:
    """Return the middle and the slow end of a latency."""
    return MISSING if found is None else f"{_seconds(found.p50)} / {_seconds(found.p95)}"


def count_text(found: Quantiles | None) -> str:
    """Return the middle and the long end of a count."""
    return MISSING if found is None else f"{found.p50:,.0f} / {found.p95:,.0f}"


def finish_text(arm: ArmSummary) -> str:
    """Return how the answers of an arm ended."""
    total = sum(arm.finish.values())
    return ", ".join(f"{name} {_share(count, total)}" for name, count in arm.finish.items())


def time_text(at: float) -> str:
    """Return a Unix time as a date and a time of day."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"


def notes_of(report: Report) -> Sequence[str]:
    """Return what a reader has to know before believing the verdict."""
    return list(_notes(report))


def _notes(report: Report) -> Iterator[str]:
    traffic, judged = report.traffic, report.judged
    if traffic.pairing.began_anew:
        yield (
            f"Counted from {time_text(traffic.pairing.since)}: before, an adapter, or the mode, "
            "share or salt of serve.traffic, was another one."
        )
    if report.votes.open:
        users = "user has" if report.votes.open == 1 else "users have"
        done, what = _OPEN[traffic.pairing.kind]
        yield (
            f"{report.votes.open:,} {users} {done}: a vote takes "
            f"{RATINGS_OF_A_VOTE} {what} or a day."
        )
    if traffic.pairing.kind == "split":
        yield from _split_notes(report)
        return
    if report.why_not:
        yield report.why_not
    if judged is not None:
        yield from _judge_notes(judged)
        yield from judged.sentences


def _split_notes(report: Report) -> Iterator[str]:
    control, candidate = report.traffic.arms
    raters = control.raters + candidate.raters
    thumbs = control.up + control.down + candidate.up + candidate.down
    if raters and thumbs / raters >= 20:  # noqa: PLR2004 - many
        yield (
            f"{thumbs:,} ratings come from only {raters:,} users. Each counts once: more users, "
            "not more ratings, bring the answer nearer."
        )


def _judge_notes(judged: Judged) -> Iterator[str]:
    if not judged.trusted:
        yield (
            "The judge cannot tell these answers from spoilt ones, so its verdicts say nothing: "
            "take a better one (judge=openai, or judge=local_other)."
        )
    if judged.empty:
        yield f"Pairs with an empty answer, which loses without being judged: {judged.empty:,}."
    if judged.failed:
        yield f"Pairs that the judge gave no verdict on, left out: {judged.failed:,}."
    if judged.unfit:
        yield f"Pairs that are no conversation of question and answer, left out: {judged.unfit:,}."


def _seconds(value: float) -> str:
    return f"{1000 * value:.0f} ms" if value < 1 else f"{value:.1f} s"


def _share(part: int, whole: int) -> str:
    share = 100 * part / whole
    return f"{share:.0f}%" if share >= 1 or not part else "<1%"
