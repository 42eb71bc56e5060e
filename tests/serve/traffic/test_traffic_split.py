"""Users are dealt out by a stable hash: in the right shares, and anew by another salt."""

from dataclasses import replace

import pytest
from scipy import stats

from loraflow.serve.traffic.split import arm_of, deal_of, hashed_user, salt_of, share_of
from tests.serve.traffic.made_traffic import SETTINGS

USERS = [f"用户-{number}@example.com" for number in range(20_000)]


def is_candidate(user: str, share: float = 0.5, salt: str = "a") -> bool:
    return arm_of(user, replace(SETTINGS, share=share, salt=salt)) == "candidate"


def test_a_user_stays_in_an_arm() -> None:
    """The arms of these users stand here: another hash would move everybody in a running test."""
    assert [arm_of(user, SETTINGS) for user in ("ann", "bob", "小明", "李娜")] == [
        "control",
        "control",
        "control",
        "candidate",
    ]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_candidate_gets_its_share(share: float) -> None:
    count = sum(is_candidate(user, share) for user in USERS)
    assert stats.binomtest(count, len(USERS), share).pvalue > 0.001


def test_who_had_the_candidate_keeps_it_when_the_share_grows() -> None:
    few, more = ({user for user in USERS if is_candidate(user, share)} for share in (0.1, 0.3))
    assert few < more


def test_another_salt_deals_out_independently() -> None:
    table = [[0, 0], [0, 0]]
    for user in USERS:
        table[is_candidate(user)][is_candidate(user, salt="b")] += 1
    assert stats.chi2_contingency(table).pvalue > 0.001


def test_names_that_are_alike_are_dealt_out_evenly() -> None:
    """Also by their last letter, and by their length."""
    for names in ([f"{n}" for n in range(0, 40_000, 10)], ["x" * n for n in range(1, 2_000)]):
        count = sum(is_candidate(name) for name in names)
        assert stats.binomtest(count, len(names), 0.5).pvalue > 0.001


def test_the_log_names_users_by_a_salted_hash() -> None:
    found = {hashed_user(user, SETTINGS) for user in USERS}
    assert len(found) == len(USERS)
    assert not any("用户" in name or "example" in name for name in found)
    assert hashed_user("ann", SETTINGS) != hashed_user("ann", replace(SETTINGS, salt="other"))


def test_a_deal_says_all_that_a_user_depends_on_and_not_the_salt_itself() -> None:
    other = replace(SETTINGS, salt="geheim")
    deals = {
        deal_of(settings)
        for one in (SETTINGS, other)
        for settings in (one, replace(one, share=0.1), replace(one, mode="shadow"))
    }
    assert len(deals) == 6
    assert deal_of(other) == f"split 0.5 {salt_of(other)}"
    assert not any("geheim" in deal for deal in deals)
    assert sorted({share_of(deal) or 0 for deal in [*deals, ""]}) == [0, 0.1, 0.5]
    off = replace(other, mode="off", share=0.1)
    assert deal_of(off) == deal_of(replace(off, share=0.9))  # nothing is shared out


def test_half_a_surrogate_pair_is_a_user_too() -> None:
    assert arm_of("\ud83d", SETTINGS) in ("control", "candidate")
    assert len(hashed_user("\ud83d", SETTINGS)) == 24
