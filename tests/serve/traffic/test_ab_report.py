"""The verdict, the table and the page of an A/B test, from logs of all kinds."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from loraflow.config.serve import TrafficConfig
from loraflow.serve.traffic.gather import Report, read_traffic, report_on
from loraflow.serve.traffic.log import Exchange
from loraflow.serve.traffic.report.page import write_page
from loraflow.serve.traffic.report.terminal import show_report
from loraflow.serve.traffic.report.words import notes_of
from loraflow.serve.traffic.shadows import Judged
from loraflow.serve.traffic.split import deal_of
from loraflow.serve.traffic.table import reading
from tests.evaluate.report.outline import Outline
from tests.promote.test_history import HOSTILE
from tests.serve.traffic.made_traffic import (
    CONTROL,
    DAY,
    SETTINGS,
    START,
    Said,
    exchange,
    simulated,
    write_log,
)

Made = tuple[list[Exchange], list[Said]]
NOW = START + 20 * DAY


def reported(
    tmp_path: Path,
    made: Made,
    settings: TrafficConfig = SETTINGS,
    judged: Judged | None = None,
    now: float = NOW,
) -> Report:
    path = tmp_path / "log.db"
    path.unlink(missing_ok=True)
    with reading(write_log(path, *made)) as table:
        traffic = read_traffic(table, now)
    assert traffic is not None
    why_not = "" if traffic.pairing.kind == "split" or judged else "Nobody compares the pairs."
    return report_on(traffic, settings, judged, why_not=why_not, now=now)


def rated(count: int, *, up: Callable[[str, int], bool], arms: tuple[str, ...]) -> Made:
    """Users of one rating each, dealt out in turn."""
    exchanges, ratings = [], []
    for number in range(count):
        arm, id, at = arms[number % len(arms)], f"id-{number}", START + 60 * number
        exchanges.append(exchange(id, arm=arm, at=at))
        ratings.append(Said(id, at + 5, "up" if up(arm, number) else "down"))
    return exchanges, ratings


HALVES = ("control", "candidate")


def test_a_clear_winner_is_told(tmp_path: Path) -> None:
    report = reported(
        tmp_path, rated(400, up=lambda arm, n: arm == "candidate" or n % 4 == 0, arms=HALVES)
    )
    assert report.verdict == "better"
    assert re.fullmatch(
        r"The candidate is better: \d+ to \d+ more thumbs up in 100", report.sentence
    )


def test_a_clear_loser_too(tmp_path: Path) -> None:
    report = reported(tmp_path, rated(400, up=lambda arm, n: arm == "control", arms=HALVES))
    assert report.sentence.startswith("The candidate is worse: ")
    assert report.sentence.endswith(" fewer thumbs up in 100")


def test_what_is_missing_is_told(tmp_path: Path) -> None:
    report = reported(tmp_path, rated(40, up=lambda arm, n: n % 5 > 1, arms=HALVES))
    assert report.verdict == "open"
    found = re.fullmatch(
        r"Not yet told apart; about ([\d,]+) more votes for a difference of 0\.1", report.sentence
    )
    assert found is not None
    assert 800 < int(found[1].replace(",", "")) < 1500


def test_a_share_of_a_tenth_is_compared_in_blocks_of_ten(tmp_path: Path) -> None:
    """The log says the share; that of the config counts where it does not."""
    arms = ("control",) * 9 + ("candidate",)
    exchanges, ratings = rated(300, up=lambda arm, n: n % 3 > 0, arms=arms)
    for deal, share in ((deal_of(replace(SETTINGS, share=0.1)), 0.5), ("", 0.1)):
        made = [replace(one, deal=deal) for one in exchanges]
        finding = reported(tmp_path, (made, ratings), replace(SETTINGS, share=share)).finding
        # it begins with the first request to the candidate, the tenth of all
        assert (finding.block, len(finding.came), finding.came[0]) == ((9, 1), 29, 10)


def test_the_test_begins_anew_when_an_alias_moves(tmp_path: Path) -> None:
    exchanges, ratings = rated(60, up=lambda arm, n: True, arms=HALVES)
    moved = [
        replace(one, adapter="e" * 64) if place > 40 and one.arm == "candidate" else one
        for place, one in enumerate(exchanges)
    ]
    report = reported(tmp_path, (moved, ratings))
    assert report.traffic.pairing.since == exchanges[41].at  # when both had answered again
    assert [arm.requests for arm in report.traffic.arms] == [9, 10]
    assert len(report.votes.cast) == 19
    again = [
        replace(one, adapter="0" * 64) if place == 50 else one for place, one in enumerate(moved)
    ]
    assert reported(tmp_path, (again, ratings)).traffic.pairing.since == exchanges[52].at


def test_counts_latencies_and_ends_are_those_of_the_log(tmp_path: Path) -> None:
    exchanges = [
        exchange("a", user="u", seconds=1.0),
        exchange("b", user="u", seconds=3.0, finish="length"),
        exchange("c", user="v", seconds=99.0, finish="cancelled"),
        exchange("d", arm="candidate"),
        exchange("e", arm=""),
    ]
    ratings = [Said("a", START, "down"), Said("a", START, "up"), Said("b", START, "down", "", "x")]
    control, candidate = reported(tmp_path, (exchanges, ratings)).traffic.arms
    assert (control.requests, control.users, candidate.requests) == (3, 2, 1)
    assert (control.up, control.down, control.raters, control.better) == (1, 1, 1, 1)
    assert control.finish == {"stop": 1, "length": 1, "cancelled": 1}
    assert control.seconds is not None and control.seconds.p50 == 2.0
    assert control.rate is not None and control.rate.low < 0.1 and control.rate.high > 0.9


def test_a_log_without_a_comparison_is_none(tmp_path: Path) -> None:
    for exchanges in ([], [exchange("a", arm="")], [exchange("a")]):
        path = write_log(
            tmp_path / f"{len(exchanges)}{len(exchanges and exchanges[0].arm)}.db", exchanges
        )
        with reading(path) as table:
            assert read_traffic(table, NOW) is None


def shadowed(count: int) -> Made:
    seen = [exchange(f"id-{n}", at=START + n) for n in range(count)]
    unseen = [
        exchange(f"s-{n}", at=START + n, arm="shadow", shadow_of=f"id-{n}") for n in range(count)
    ]
    return [*seen, *unseen], []


def verdicts(count: int, *, trusted: bool = True) -> Judged:
    values = {f"id-{n}": 1 if n % 3 else 0 for n in range(count)}
    return Judged(
        "j", values, 1, failed=2, unfit=0, trusted=trusted, sentences=["It sees no facts."]
    )


def test_a_judge_decides_about_what_nobody_saw(tmp_path: Path) -> None:
    report = reported(tmp_path, shadowed(60), judged=verdicts(60))
    assert report.sentence.startswith("The candidate is better: ")
    assert report.sentence.endswith(" more wins than losses in 100")


def test_a_judge_that_cannot_tell_decides_nothing(tmp_path: Path) -> None:
    report = reported(tmp_path, shadowed(60), judged=verdicts(60, trusted=False))
    assert (report.verdict, report.sentence) == ("open", "The judge cannot tell")
    assert reported(tmp_path, shadowed(60)).sentence == "Not judged"


def test_what_cannot_be_told_is_shown_with_no_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page and the terminal agree: no interval upside down, none of a judge without eyes."""
    turned = rated(1200, up=lambda arm, n: (arm == "candidate") == (n < 400), arms=HALVES)
    reports = [
        reported(tmp_path, turned),
        reported(tmp_path, shadowed(60), judged=verdicts(60, trusted=False)),
        reported(tmp_path, shadowed(60), judged=verdicts(60)),
    ]
    assert [report.verdict for report in reports] == ["changed", "open", "better"]
    for report, is_shown in zip(reports, (False, False, True), strict=True):
        page = Outline(write_page(report, tmp_path).read_text(encoding="utf-8")).text
        show_report(report, {})
        assert ("p, at any time" in page) == is_shown
        assert ("both hold however often one looks" in capsys.readouterr().out) == is_shown


def test_a_shadow_test_speaks_of_pairs_and_not_of_what_users_rated(tmp_path: Path) -> None:
    """Nobody rates what nobody sees."""
    made = shadowed(60)
    some = replace(verdicts(60), values={"id-1": 1})
    for judged, tile in ((some, "1 more to come"), (replace(some, values={}), "no pair is judged")):
        report = reported(tmp_path, made, judged=judged, now=START + 90)
        page = Outline(write_page(report, tmp_path).read_text(encoding="utf-8")).text
        assert tile in page
        assert "rated but" not in page and "nobody has rated" not in page
        assert "first 5 pairs of answers" in page
    report = reported(tmp_path, made, judged=some, now=START + 90)
    note = "1 user has judged pairs but no vote yet: a vote takes 5 pairs or a day."
    assert note in notes_of(report)


ODD: dict[str, Callable[[], Made]] = {
    "simulated": lambda: simulated(150, gain=0.1),
    "told": lambda: rated(400, up=lambda arm, n: arm == "candidate", arms=HALVES),
    "no rating": lambda: ([exchange("a"), exchange("b", arm="candidate")], []),
    "one rating": lambda: (
        [exchange("a"), exchange("b", arm="candidate")],
        [Said("a", START, "down", "慢")],
    ),
    "nothing ended": lambda: (
        [exchange("a", finish="failed"), exchange("b", arm="candidate", finish="cancelled")],
        [],
    ),
    "no time at all": lambda: (
        [
            exchange("a", first_token_seconds=0.0, seconds=0.0),
            exchange("b", arm="candidate", first_token_seconds=0.0, seconds=0.0),
        ],
        [],
    ),
    "nobody asked": lambda: (
        [exchange("a", messages=[]), exchange("b", arm="candidate", version=None, run_id=None)],
        [Said("a", START, "down")],
    ),
    "a shadow": lambda: shadowed(3),
    "turned around": lambda: rated(
        1200, up=lambda arm, n: (arm == "candidate") == (n < 400), arms=HALVES
    ),
}


@pytest.mark.parametrize("made", ODD.values(), ids=ODD)
def test_page_is_complete_whatever_happened(
    made: Callable[[], Made], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = reported(tmp_path, made())
    html = write_page(report, tmp_path / "页").read_text(encoding="utf-8")
    page = Outline(html)
    ids = {found["id"] for _, found in page.tags if "id" in found}
    assert {str(link["href"])[1:] for link in page.named("a") if link["href"][:1] == "#"} <= ids  # type: ignore[index]
    assert not re.search(r"\b(?:nan|inf|None)\b", page.text)
    assert "nan" not in "".join(re.findall(r'(?:d|x|y|x1|y1|height)="([^"]*)"', html))
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ET.fromstring(drawing)
    assert not re.findall(r'(?:src|srcset)="|@import|url\(|<script', html)
    show_report(report, {"page": "ab.html"})
    assert report.head in page.text
    assert report.head in capsys.readouterr().out


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_of_users_are_shown_and_never_run(text: str, tmp_path: Path) -> None:
    exchanges = [
        exchange("a", messages=[{"role": "user", "content": text}], answer=text, run_id=text),
        exchange("b", arm="candidate", adapter=text or CONTROL, version=None),
    ]
    clean = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    exchanges = [
        replace(
            one,
            run_id="r",
            adapter="x",
            answer=clean,
            messages=[{"role": "user", "content": clean}],
        )
        for one in exchanges
    ]
    report = reported(tmp_path, (exchanges, [Said("a", START, "down", clean, clean)]))
    page = Outline(write_page(report, tmp_path).read_text(encoding="utf-8"))
    assert not page.named("script")
    assert not page.named("img")


def test_downvoted_answers_are_shown_with_what_was_said(tmp_path: Path) -> None:
    exchanges = [exchange("a", answer="<b>否</b>"), exchange("b", arm="candidate")]
    ratings = [Said("a", START, "down", "答非所问", "应该是 42"), Said("b", START, "up")]
    html = write_page(reported(tmp_path, (exchanges, ratings)), tmp_path).read_text()
    text = Outline(html).text
    assert all(part in text for part in ("在吗？", "<b>否</b>", "答非所问", "应该是 42"))
    assert 'lang="zh"' in html
