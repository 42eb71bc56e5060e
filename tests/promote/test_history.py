"""The history answers at a glance, shows whatever happened, and needs nothing but itself."""

import logging
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loraflow.promote.history.answer import answer_of
from loraflow.promote.history.nights import read_nights
from loraflow.promote.history.render import render
from loraflow.promote.history.run import write_history
from loraflow.promote.record import NightRecord
from tests.evaluate.report.outline import Outline, section_of
from tests.promote.night_records import decision_of, many, month, week

HOSTILE = (
    "\"'></title></script><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}",
    "</style>--><!--<![CDATA[",
    "half \ud83d a pair",
    "\u202eright to left override\u2066 \x00\x07\u2028",
    "家父是大理寺少卿甄远道" * 200,
    "",
)
ODD: dict[str, Callable[[], Sequence[NightRecord]]] = {
    "no night": list,
    "one night": lambda: week()[:1],
    "none decided": lambda: [replace(one, champion=None) for one in week() if not one.decision],
    "only a rollback": lambda: week()[-1:],
    "only a crash": lambda: [one for one in month() if one.outcome == "failed"],
    "a week": week,
    "a month": month,
    "400 nights": lambda: many(400),
    "all at the same second": lambda: [replace(one, started=week()[0].started) for one in week()],
    "a clock that was set back": lambda: [
        replace(one, started=one.ended, ended=one.started) for one in week()
    ],
    "no numbers": lambda: [replace(week()[0], decision=without_numbers())],
}


def without_numbers() -> dict[str, Any]:
    nothing = {"low": None, "high": None}
    decision = decision_of(0.2, 0.1, 0.01, reference=None, promote=False).as_dict()
    return {
        **decision,
        "champion": {"value": None, **nothing},
        "challenger": {"value": None, **nothing},
        "difference": {"mean": None, **nothing},
    }


@pytest.mark.parametrize("records", ODD.values(), ids=ODD)
def test_page_is_complete_whatever_happened(
    records: Callable[[], Sequence[NightRecord]], tmp_path: Path
) -> None:
    html = write_history(records(), tmp_path / "out").read_text(encoding="utf-8")
    page = Outline(html)
    ids = {found["id"] for _, found in page.tags if "id" in found}
    assert {str(link["href"])[1:] for link in page.named("a") if link["href"][:1] == "#"} <= ids  # type: ignore[index]
    assert not re.search(r"\b(?:nan|inf|None|vNone)\b", page.text)
    assert "nan" not in "".join(re.findall(r'(?:d|x|y|x1|y1|cy|points)="([^"]*)"', html))
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ET.fromstring(drawing)


def test_page_fetches_nothing() -> None:
    html = render(month())
    assert not re.findall(r'(?:src|srcset)="|@import|url\(', html)
    assert "default-src 'none'" in html
    assert "<script" not in html


def test_who_is_champion_is_what_came_of_the_night_that_a_rollback_fell_into() -> None:
    night = replace(week()[0], outcome="promoted", champion=3)
    begun = f"{night.started[:14]}01:00+00:00"
    back = replace(week()[-1], id=f"{night.id}1", started=begun, ended=begun, champion=1)
    assert [one.record for one in read_nights([night, back])] == [back, night]
    assert "Version 3 is the champion" in render([night, back])


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_are_shown_and_never_run(text: str, tmp_path: Path) -> None:
    records = [
        replace(one, reason=text, by=text, drift={text: 0.1}, url=f"javascript:{text}")
        for one in week()
    ]
    page = Outline(write_history(records, tmp_path).read_text(encoding="utf-8"))
    assert not page.named("script")
    assert not page.named("img")
    assert not [link for link in page.named("a") if "javascript" in str(link["href"])]


def test_champion_is_named_with_its_date_and_score() -> None:
    page = Outline(render(month()))
    assert "Version 15 is the champion since 21 Nov 2026" in page.text
    assert "scores rouge_l 0.320 (95% interval 0.299 to 0.342)" in page.text
    assert "held its place against 4 challengers" in page.text
    assert "Last night: kept" in page.text
    assert "What to do now" not in page.text


@pytest.mark.parametrize("last", ["crash", "poisoned", "drifted"])
def test_a_red_night_says_what_to_do(last: str) -> None:
    page = Outline(render(month(last)))
    assert "What to do now" in page.text
    assert "Nothing was promoted; version 15 stays in its place." in page.text
    assert "make nightly" in page.text


def test_a_night_that_stopped_names_reports_that_are_there() -> None:
    (look, _) = answer_of(read_nights(month("drifted"))).todo
    assert "the newest folder of drift/ in the store" in look
    assert "no MLflow run" in look


def test_red_nights_in_a_row_are_counted() -> None:
    page = Outline(render(week()[:5]))
    assert "This is the 3rd red night in a row, the first was 30 Oct 2026." in page.text


def test_a_rollback_does_not_hide_a_red_night() -> None:
    rolled_back = replace(week()[-1], id="2026-12-01T00-00-00Z")
    page = Outline(render([*month("crash"), rolled_back]))
    assert "Rolled back" in page.text
    assert "Last night: failed" in page.text
    assert "What to do now" in page.text


def test_the_score_after_a_rollback_is_that_of_the_older_version() -> None:
    nights = read_nights(month())
    at = next(place for place, night in enumerate(nights) if night.is_rollback)
    assert nights[at].record.champion == 7
    first_of_7 = next(night for night in nights if night.record.champion == 7)
    assert nights[at].score == first_of_7.score
    assert nights[at - 1].score != nights[at].score


def test_scores_of_another_gate_set_are_not_joined() -> None:
    """The line breaks, and a champion that was not measured anew has no score."""
    records = month()
    decided = [place for place, one in enumerate(records) if one.decision]
    for place in decided[-3:]:
        records[place] = replace(records[place], decision={**records[place].decision, "gate": "b"})  # type: ignore[dict-item]
    nights = read_nights(records)
    assert nights[decided[-3]].scale == ("rouge_l", "b")
    html = section_of(render(records), "score")
    assert html.count('class="break"') == 2  # in the wide chart and in the narrow one


def test_each_outcome_has_a_shape_and_a_word_of_its_own() -> None:
    html = section_of(render(week()), "score")
    marks = re.findall(r'<g class="night (\w+)[^"]*">.*?<path class="dot" d="([^"]+)"', html, re.S)
    shapes = {outcome: re.sub(r"[\d.]+", "", shape) for outcome, shape in marks}
    assert len(shapes) == len(set(shapes.values())) == 6
    for word in ("promoted", "kept", "skipped", "stopped", "failed", "rolled back"):
        assert f">{word}</text>" in html


def test_table_has_every_night_the_newest_first() -> None:
    records = many(400)
    html = render(records)
    ids = re.findall(r'<tr id="([^"]+)">', html)
    assert ids == [one.id for one in reversed(records)]
    assert "340 earlier nights" in Outline(html).text


def test_table_tells_the_decision_and_links_the_run() -> None:
    text = Outline(render(month())).text
    told = "+0.017 +0.005 to +0.029 0.320 \u2212 0.303 against version 7 margin 0.002 200 gate rows"
    assert told in text
    assert "✗ old_task: The old task lost 0.031" in text
    urls = {link["href"] for link in Outline(render(month())).named("a")}
    assert {one.url for one in month() if one.url} <= urls


def test_a_decision_that_cannot_be_read_is_named(caplog: pytest.LogCaptureFixture) -> None:
    record = replace(week()[0], decision={"promote": True})
    with caplog.at_level(logging.WARNING):
        page = Outline(render([record]))
    assert record.id in caplog.text
    assert "Version 1 is the champion" in page.text


def test_the_same_records_give_the_same_page() -> None:
    assert render(week()) == render(week()[::-1])
