"""Guards that make a comparison valid; none of them can be left out."""

from collections.abc import Mapping

from loraflow.compare.metrics import METRICS
from loraflow.evaluate.report.notes import OWN, REASONS, UNTRUSTED
from loraflow.promote.gate.decision import Evidence
from loraflow.promote.gate.pairs import has_value, same_ids

Found = tuple[bool, str, Mapping[str, float]]
"""Whether a guard passes, why in words, and the numbers."""

_OF_JUDGE = ("judge_rating",)


def same_items(evidence: Evidence, metric: str) -> Found:
    """Both arms were asked alike, and each gate row has a value in both or in neither."""
    arms = evidence.champion, evidence.challenger
    first, second = ([item["id"] for item in arm.items] for arm in arms)
    if not same_ids(arms[0].items, arms[1].items):
        missing, more = len(set(first) - set(second)), len(set(second) - set(first))
        words = (
            f"the champion answered {len(first)} rows and the challenger {len(second)}, not the "
            f"same in the same order: {missing} only the champion, {more} only the challenger"
        )
        return False, words, {"only_champion": missing, "only_challenger": more}
    if arms[0].settings != arms[1].settings:
        return False, "the arms were asked with other settings of evaluate", {}
    measure = METRICS[metric]
    lost = [[item["id"] for item in arm.items if not has_value(measure, item)] for arm in arms]
    alone = len(set(lost[0]) ^ set(lost[1]))
    values = {"rows": len(first), "without_value": len(set(lost[0]) & set(lost[1]))}
    if alone:
        words = f"{alone} of {len(first)} rows have a {metric} in one arm only"
        return False, words, {**values, "one_sided": alone}
    without = f"; {len(lost[0])} of them have no {metric} in either" if lost[0] else ""
    return True, f"both arms answered the same {len(first)} rows{without}", values


def gate_set(evidence: Evidence, metric: str, *, min_answered: float) -> Found:
    """The held-out rows are the frozen ones, and were answered nearly all."""
    gate = evidence.gate
    answered = len(evidence.challenger.items)
    if gate.frozen != gate.found:
        words = (
            f"tonight's {gate.rows} held-out rows ({gate.found[:12]}) are not those that were "
            f"frozen ({gate.frozen[:12]})"
        )
        return False, words, {}
    values = {"rows": gate.rows, "answered": answered}
    words = f"unchanged, {answered} of its {gate.rows} rows answered"
    if answered < min_answered * gate.rows:
        return False, f"{words}; at least {min_answered:.0%} must be", values
    return True, words, values


def leak(evidence: Evidence, metric: str) -> Found:
    """No training row gives a gate row away."""
    found = evidence.leak
    values = {"found": found.found, "left": found.left}
    if found.left:
        words = f"{found.left} training rows give gate rows away; set data.leak.action=remove"
        return False, words, values
    removed = f"; {found.found} were found and removed" if found.found else ""
    return True, f"no training row gives a gate row away{removed}", values


def judge(evidence: Evidence, metric: str) -> Found:
    """If ratings decide, the judge is better than chance, and is not the model it rates."""
    if metric not in _OF_JUDGE:
        return True, f"no judge has a say in {metric}", {}
    card = evidence.judge
    if card is None:
        return False, "there are ratings and no card of the judge", {}
    if not card.same_card:
        return False, f"{card.name}: an arm was rated by another judge than that of the card", {}
    reasons = [note for note, holds in ((UNTRUSTED, not card.trusted), (OWN, card.own)) if holds]
    if reasons:
        return False, f"{card.name}: {'; '.join(REASONS[note] for note in reasons)}", {}
    return True, f"{card.name} is better than chance on its card", {}
