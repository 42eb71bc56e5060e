"""Guards on what a better score must not cost: general ability, answers at all, their length."""

import math
from statistics import fmean

from scipy import stats

from loraflow.compare.pairs import LEVEL, holm
from loraflow.compare.statistics import share_difference
from loraflow.promote.gate.decision import Evidence
from loraflow.promote.gate.integrity import Found
from loraflow.promote.gate.pairs import CannotTell, paired_numbers


def forgetting(evidence: Evidence, metric: str, *, tolerance: float, max_loss: float) -> Found:
    """On all probes: not worse beyond noise, and surely no worse than by `max_loss`."""
    champion, challenger = _probes(evidence)
    gap = share_difference(challenger, champion)
    values = {"mean": gap.mean, "low": gap.low, "high": gap.high, "probes": len(champion)}
    words = (
        f"{fmean(champion):.1%} of {len(champion)} probes right, now {fmean(challenger):.1%}: "
        f"{gap.mean:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
    )
    if gap.high < -tolerance:
        return False, f"{words}, worse beyond noise", values
    if gap.low < -max_loss:
        return False, f"{words}, it may have lost more than {max_loss:g}", values
    return True, words, values


def old_tasks(evidence: Evidence, metric: str) -> Found:
    """On no kind of probe worse beyond noise: sign tests, corrected for the number of kinds."""
    champion, challenger = _probes(evidence)
    gaps: dict[str, list[float]] = {}
    for probe, before, now in zip(
        evidence.champion.probes or (), champion, challenger, strict=True
    ):
        gaps.setdefault(str(probe["kind"]), []).append(now - before)
    values = {kind: fmean(ones) for kind, ones in gaps.items()}
    corrected = holm([_p_worse(ones) for ones in gaps.values()])
    worse = [kind for kind, p in zip(gaps, corrected, strict=True) if p < LEVEL / 2]
    if worse:
        found = ", ".join(f"{kind.replace('_', ' ')} ({values[kind]:+.3f})" for kind in worse)
        return False, f"worse beyond noise: {found}", values
    least = min(values, key=lambda kind: values[kind])
    words = (
        f"none of {len(values)} kinds of probes worse beyond noise; the least: "
        f"{least.replace('_', ' ')} ({values[least]:+.3f})"
    )
    return True, words, values


def refusals(evidence: Evidence, metric: str, *, tolerance: float) -> Found:
    """Answers that refuse, or are empty, have not become more beyond noise."""
    arms = evidence.champion.items, evidence.challenger.items
    refused, empty = paired_numbers(*arms, "refusal"), paired_numbers(*arms, "empty")
    champion, challenger = (list(map(max, *both)) for both in zip(refused, empty, strict=True))
    gap = share_difference(challenger, champion)
    values = {"champion": fmean(champion), "challenger": fmean(challenger)}
    values |= {"low": gap.low, "high": gap.high}
    words = (
        f"{values['champion']:.1%} of answers refuse or are empty, now {values['challenger']:.1%}: "
        f"{gap.mean:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})"
    )
    if gap.low > tolerance:
        return False, f"{words}, more beyond noise", values
    return True, words, values


def answer_length(evidence: Evidence, metric: str, *, max_times: float) -> Found:
    """The mean length is near the champion's, or near the references' or no farther from them."""
    arms = evidence.champion.items, evidence.challenger.items
    champion, challenger = map(fmean, paired_numbers(*arms, "answer_characters"))
    wanted = fmean(paired_numbers(*arms, "reference_characters")[1])
    values = {"champion": champion, "challenger": challenger, "references": wanted}
    words = f"{champion:.0f} characters, now {challenger:.0f}, and {wanted:.0f} in the references"
    most = math.log(max(max_times, 1.0))
    if _times(challenger, champion) <= most:
        return True, words, values
    if _times(challenger, wanted) <= max(most, _times(champion, wanted)):
        return True, f"{words}: near enough to them", values
    return False, f"{words}: more than {max_times:g} times away from both", values


def _probes(evidence: Evidence) -> tuple[list[float], list[float]]:
    try:
        return paired_numbers(
            evidence.champion.probes, evidence.challenger.probes, "choice_correct"
        )
    except CannotTell as error:
        raise CannotTell(f"probes: {error} (evaluate.probes)") from error


def _p_worse(gaps: list[float]) -> float:
    """Return the one-sided p-value of the sign test that more was lost than gained."""
    lost, gained = sum(gap < 0 for gap in gaps), sum(gap > 0 for gap in gaps)
    if lost + gained == 0:
        return 1.0
    return float(stats.binomtest(lost, lost + gained, alternative="greater").pvalue)


def _times(length: float, wanted: float) -> float:
    """Return how many times too long or too short, as a logarithm."""
    if length == wanted:
        return 0.0
    return abs(math.log(length / wanted)) if length and wanted else math.inf
