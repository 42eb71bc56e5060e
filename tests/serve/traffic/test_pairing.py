"""What counts: two adapters, dealt out in one way, from when both answered."""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.serve.traffic.arms import Pairing, pairing_of
from loraflow.serve.traffic.gather import Traffic, read_traffic
from loraflow.serve.traffic.log import Exchange
from loraflow.serve.traffic.split import deal_of, hashed_user
from loraflow.serve.traffic.table import open_to_write, reading
from tests.serve.traffic.made_traffic import (
    DAY,
    SETTINGS,
    START,
    Said,
    exchange,
    rows_of,
    write_log,
)

OTHER_SALT = replace(SETTINGS, salt="another")
OFF = replace(SETTINGS, mode="off")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.db"


def asked(arms: str, *, begin: int = 0, **changed: object) -> list[Exchange]:
    """Return a request a minute to the arms named by their first letters; `o` is no arm's."""
    named = {"c": "control", "d": "candidate", "o": ""}
    return [
        exchange(f"id-{place}", arm=named[arm], at=START + 60 * place, **changed)
        for place, arm in enumerate(arms, start=begin)
    ]


def found(path: Path, exchanges: Sequence[Exchange]) -> Pairing:
    path.unlink(missing_ok=True)
    with reading(write_log(path, exchanges)) as table:
        pairing = pairing_of(table)
    assert pairing is not None
    return pairing


def test_under_another_salt_nobody_votes_twice(path: Path) -> None:
    """The same people come back under other hashes: only what they say now counts."""
    exchanges, ratings = [], []
    for number in range(40):
        settings = SETTINGS if number < 20 else OTHER_SALT
        user = hashed_user(f"用户-{number % 20}", settings)
        (one,) = asked("cd"[number % 2], begin=number, user=user, deal=deal_of(settings))
        exchanges.append(one)
        ratings.append(Said(one.id, one.at + 5, "up"))
    with reading(write_log(path, exchanges, ratings)) as table:
        traffic = read_traffic(table, START + 9 * DAY)
    assert isinstance(traffic, Traffic)
    assert traffic.pairing.deal == deal_of(OTHER_SALT)
    assert traffic.pairing.began_anew
    assert [arm.requests for arm in traffic.arms] == [9, 10]  # from the first of the candidate's on
    assert {vote.user for vote in traffic.votes.cast} == {one.user for one in exchanges[21:]}


@pytest.mark.parametrize(
    "between",
    [
        asked("o", begin=10, deal=deal_of(OFF)),
        asked("c", begin=10, deal=deal_of(replace(SETTINGS, mode="shadow"))),
        asked("d", begin=10, deal=deal_of(replace(SETTINGS, share=0.1))),
    ],
    ids=["off", "shadow", "another share"],
)
def test_it_begins_anew_when_users_were_dealt_out_otherwise(
    between: list[Exchange], path: Path
) -> None:
    exchanges = [*asked("cd" * 5), *between, *asked("dcdc", begin=11)]
    pairing = found(path, exchanges)
    assert (pairing.since, pairing.began_anew) == (START + 60 * 12, True)


@pytest.mark.parametrize(
    "between",
    [
        asked("o", begin=10),  # one of the names had no adapter
        asked("o", begin=10, deal=deal_of(OFF), model="champion"),  # nobody deals that name out
    ],
    ids=["missing name", "another name"],
)
def test_it_goes_on_when_only_other_requests_came_between(
    between: list[Exchange], path: Path
) -> None:
    pairing = found(path, [*asked("cd" * 5), *between, *asked("cdcd", begin=11)])
    assert (pairing.since, pairing.began_anew) == (START + 60, False)


def test_a_test_that_is_over_is_still_shown(path: Path) -> None:
    later = [
        *asked("oo", begin=10, deal=deal_of(OFF)),
        *asked("c", begin=12, deal=deal_of(OTHER_SALT)),  # whose candidate nobody has met yet
    ]
    before, after = found(path, asked("cd" * 5)), found(path, [*asked("cd" * 5), *later])
    assert after == before


def test_it_begins_with_the_later_of_the_first_requests(path: Path) -> None:
    assert found(path, asked("cccccdc")).since == START + 60 * 5
    assert found(path, asked("dddc")).since == START + 60 * 3


def test_a_shadow_begins_with_the_user_whom_it_follows(path: Path) -> None:
    seen = asked("ccc")
    unseen = [
        exchange(f"s-{place}", arm="shadow", at=START + 60 * place + 9, shadow_of=f"id-{place}")
        for place in (1, 2)
    ]
    pairing = found(path, [*seen, *unseen])
    assert (pairing.kind, pairing.since) == ("shadow", START + 60)


def test_a_log_of_before_deals_were_noted_is_read_as_it_is_and_written_on(path: Path) -> None:
    write_log(path, asked("cdcd", deal=""))
    with closing(sqlite3.connect(path)) as table:
        table.execute("ALTER TABLE exchanges DROP COLUMN deal")
        table.execute("PRAGMA user_version=1")
    before = path.read_bytes()
    with reading(path) as table:
        pairing = pairing_of(table)
    assert pairing is not None
    assert (pairing.deal, pairing.share, pairing.since) == ("", None, START + 60)
    assert path.read_bytes() == before
    for _ in range(2):  # a server, and the next one
        open_to_write(path).close()
    write_log(path, asked("dc", begin=4))
    assert [row["deal"] for row in rows_of(path, "exchanges")] == ["", "", "", ""] + [
        deal_of(SETTINGS)
    ] * 2
    with reading(path) as table:
        again = pairing_of(table)
    assert again is not None and again.since == START + 60 * 5  # nobody knows the salt of before
