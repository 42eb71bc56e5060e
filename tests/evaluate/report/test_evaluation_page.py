"""The page says what it is given, whatever that holds, and needs nothing but itself."""

import base64
import hashlib
import re
from dataclasses import replace
from itertools import pairwise

import pytest

from loraflow.compare.statistics import Difference, Interval
from loraflow.evaluate.report.content import (
    Bench,
    Conversation,
    EvaluationPage,
    Item,
    JudgeCard,
    Sample,
    Score,
    Turn,
)
from loraflow.evaluate.report.render import render_evaluation
from tests.evaluate.report.evaluation_pages import realistic_page
from tests.evaluate.report.outline import Outline, section_of

SECTIONS = (
    "findings",
    "scores",
    "mt-bench",
    "forgetting",
    "judges",
    "items",
    "conversations",
    "prompts",
)
ROUGE = Score(
    "rougeL",
    "Longest common subsequence.",
    True,
    Interval(0.254, 0.218, 0.29),
    Interval(0.332, 0.296, 0.369),
    Difference(0.078, 0.048, 0.108),
    items=100,
)
TURN = Turn("你好？", "好。", {"base": "Hi."}, {"base": 7.5}, {"base": "Good. [[7.5]]"})
BENCH = Bench("local judge", True, 1, conversations=[Conversation("81", "writing", [TURN])])
HOSTILE = (
    "\"'></script><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}",
    "</textarea></title></style>--><!--<![CDATA[",
    "half \ud83d a pair",
    "\u202eright to left override\u2066 \x00\x07\u2028",
    "مرحبا بالعالم",
    "家父是大理寺少卿甄远道" * 2_000,
    "",
)


@pytest.fixture(scope="module")
def html() -> str:
    return render_evaluation(realistic_page())


def page_of(text: str) -> EvaluationPage:
    """Return a page that holds `text` wherever a text can be."""
    score = replace(ROUGE, name=text, meaning=text, note=text)
    turn = Turn(text, text, {"base": text, "tuned": None}, {"base": 3.0}, {"base": text})
    return EvaluationPage(
        title=text,
        facts=[(text, text)],
        findings=[text],
        scores=[score],
        probes=[score],
        bench=Bench(
            text,
            False,
            9,
            overall=[score],
            categories=[score, score, score],
            failures=[(text, 2, text)],
            pairs=[(text, Interval(0.5, 0.4, 0.6))],
            conversations=[Conversation(text, text, [turn]), Conversation("2", "other", [turn])],
        ),
        cards=[
            JudgeCard(
                text,
                False,
                [text],
                [(text, text, Interval(0.4, 0.3, 0.6), 40)],
                Interval(0.4, 0.3, 0.6),
                [(text, text)],
                [(text, text, text, 5.0, 6.0)],
            )
        ],
        items=[Item(text, text, text, {"base": text}, {text: (0.1, 0.2)}, [text])],
        prompts=[Sample(text, {"base": text, "tuned": text})],
    )


def test_every_section_is_there_and_in_the_contents(html: str) -> None:
    outline = Outline(html)
    ids = [found.get("id") for found in outline.named("section")]
    assert tuple(ids) == SECTIONS
    links = [found["href"] for found in outline.named("a")]
    assert links == [f"#{name}" for name in SECTIONS]


def test_an_empty_page_has_a_title_and_nothing_else() -> None:
    outline = Outline(render_evaluation(EvaluationPage("nothing")))
    assert not outline.named("section")
    assert not outline.named("a")
    assert "nothing" in outline.text


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_without_content_is_left_out(name: str, html: str) -> None:
    page = realistic_page(8)
    assert page.bench is not None
    empty = {
        "findings": replace(page, findings=()),
        "scores": replace(page, scores=()),
        "mt-bench": replace(page, bench=None),
        "forgetting": replace(page, probes=()),
        "judges": replace(page, cards=()),
        "items": replace(page, items=()),
        "conversations": replace(page, bench=replace(page.bench, conversations=())),
        "prompts": replace(page, prompts=()),
    }
    shown = render_evaluation(empty[name])
    assert f'id="{name}"' in html
    assert f'id="{name}"' not in shown
    assert f"#{name}" not in [found["href"] for found in Outline(shown).named("a")]


def test_numbers_stand_with_their_interval_and_n() -> None:
    text = Outline(render_evaluation(EvaluationPage("t", scores=[ROUGE]))).text
    assert "95% bootstrap interval over 100 items" in text
    assert "0.254 0.218 to 0.290" in text
    assert "0.332 0.296 to 0.369" in text
    assert "✓ +0.078 +0.048 to +0.108" in text


def test_the_interval_is_explained_once_where_it_comes_first(html: str) -> None:
    assert html.count("95% bootstrap interval") == 1
    without = render_evaluation(replace(realistic_page(8), scores=()))
    assert "95% bootstrap interval" in section_of(without, "mt-bench")
    assert without.count("95% bootstrap interval") == 1


def test_a_difference_without_an_interval_has_no_verdict() -> None:
    scores = [ROUGE, replace(ROUGE, name="bleu", difference=None)]
    text = Outline(render_evaluation(EvaluationPage("t", scores=scores))).text
    assert "no interval" in text
    assert "of 1 difference" in text


def test_a_page_of_one_arm_has_no_word_of_the_other() -> None:
    alone = replace(ROUGE, tuned=None, difference=None)
    page = EvaluationPage(
        "one arm",
        scores=[alone],
        probes=[alone],
        bench=replace(BENCH, overall=[alone], categories=[alone] * 4),
        items=[Item("1", "q", "r", {"base": "a"}, {"rougeL": (0.5, None)})],
        prompts=[Sample("q", {"base": "a"})],
    )
    html = render_evaluation(page)
    text = Outline(html).text
    assert "0.254 0.218 to 0.290" in text
    assert "tuned" not in text.lower().replace("a model that was tuned well", "")
    assert "Difference" not in text
    assert "best first" in text
    assert "gains" not in text
    assert "polygon" in section_of(html, "mt-bench")


def test_untrusted_ratings_are_marked_wherever_they_appear() -> None:
    page = realistic_page(8)
    html = render_evaluation(page)
    for name in ("scores", "mt-bench", "conversations"):
        assert "! untrusted judge" in Outline(section_of(html, name)).text
    assert page.bench is not None
    marked = section_of(html, "mt-bench").count('<span class="badge">! untrusted judge</span>')
    rows = len(page.bench.overall) + len(page.bench.categories)
    assert marked == rows + len(("title", "radar", "pairs"))
    ratings = section_of(html, "conversations").count('<span class="badge">! untrusted</span>')
    assert ratings == len(page.bench.conversations) * 2 * 2
    assert section_of(html, "items").count('<b title="untrusted judge">!</b>') == 8
    assert "! untrusted" in Outline(section_of(html, "judges")).text


def test_a_reservation_takes_the_colour_and_the_count() -> None:
    html = render_evaluation(EvaluationPage("t", scores=[ROUGE, replace(ROUGE, note="careful")]))
    assert html.count('class="forest better"') == 1
    assert html.count('class="forest better reserved"') == 1
    assert "of 1 difference" in Outline(html).text


def test_trusted_ratings_are_not_marked() -> None:
    bench = replace(BENCH, overall=[ROUGE])
    assert "untrusted" not in Outline(render_evaluation(EvaluationPage("t", bench=bench))).text


def test_failed_answers_and_missing_ratings_are_told() -> None:
    turn = replace(TURN, answers={"base": None, "tuned": ""}, ratings={"base": None})
    bench = replace(BENCH, conversations=[Conversation("81", "writing", [turn])])
    text = Outline(render_evaluation(EvaluationPage("t", bench=bench))).text
    assert "Base not rated It failed: there is no answer." in text
    assert "Tuned not rated empty" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_cannot_become_part_of_the_page(text: str) -> None:
    html = render_evaluation(page_of(text)).encode(errors="backslashreplace").decode()
    outline, plain = Outline(html), Outline(render_evaluation(page_of("plain")))
    allowed = {name for name, _ in plain.tags} | {"wbr", "label", "input"}  # long ones are folded
    assert {name for name, _ in outline.tags} <= allowed
    assert len(outline.named("script")) == len(plain.named("script"))
    assert not [name for _, found in outline.tags for name in found if name.startswith("on")]
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069\u2028]", html)


def test_texts_are_shown_as_they_are() -> None:
    text = Outline(render_evaluation(page_of(HOSTILE[0]))).text
    assert text.count("{{ 7 * 7 }}") > 20
    assert "</script><script>alert(1)</script>" in text


def test_half_surrogates_can_be_written() -> None:
    html = render_evaluation(page_of("half \ud83d a pair"))
    assert b"half \\ud83d a pair" in html.encode("utf-8", "backslashreplace")


def test_the_language_and_the_direction_are_named() -> None:
    html = render_evaluation(EvaluationPage("t", prompts=[Sample("你是谁？", {"base": "مرحبا"})]))
    assert 'dir="auto" lang="zh">你是谁？' in html
    assert 'dir="auto">مرحبا' in html


def test_nothing_is_fetched_and_only_one_script_may_run() -> None:
    html = render_evaluation(page_of("see https://example.com/a.png and //example.com"))
    outline = Outline(html)
    links = [found.get(name) for _, found in outline.tags for name in ("src", "href", "srcset")]
    assert all(link is None or link.startswith("#") or link == "data:," for link in links)
    styles = html.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|https?:", styles)
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    assert not re.search(r"https?:|fetch|localStorage|innerHTML|eval", script)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in html
    assert f"; script-src 'sha256-{digest}'\">" in html


def test_headings_go_down_one_step_at_a_time(html: str) -> None:
    levels = [int(name[1]) for name, _ in Outline(html).tags if re.fullmatch("h[1-6]", name)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))


def test_every_header_of_a_table_has_a_scope_and_every_control_a_name(html: str) -> None:
    outline = Outline(html)
    assert all(found.get("scope") for found in outline.named("th"))
    assert all(found.get("aria-label") for found in outline.named("svg"))
    labels = html.count("<label")
    assert labels == len(outline.named("input")) + len(outline.named("select"))


def test_without_a_script_the_lists_are_whole_and_the_controls_hidden(html: str) -> None:
    assert section_of(html, "items").count("<tbody>") == 100
    assert section_of(html, "conversations").count('class="talk"') == 160
    controls = [found for _, found in Outline(html).tags if found.get("class") == "controls"]
    assert controls
    assert all("hidden" in found for found in controls)


def test_the_same_content_gives_the_same_page(html: str) -> None:
    assert render_evaluation(realistic_page()) == html


def test_the_page_stays_small_however_long_the_texts_are(html: str) -> None:
    assert len(html.encode(errors="backslashreplace")) < 2_000_000
    page = realistic_page()
    assert page.bench is not None
    long = "家父是大理寺少卿甄远道。" * 400
    answers = {"base": long, "tuned": long}
    talks = [
        replace(talk, turns=[replace(turn, answers=answers) for turn in talk.turns])
        for talk in page.bench.conversations
    ]
    items = [replace(item, answers=answers) for item in page.items]
    longer = replace(page, items=items, bench=replace(page.bench, conversations=talks))
    shown = render_evaluation(longer)
    assert len(shown.encode(errors="backslashreplace")) < 2_000_000
    assert re.search(r"… \(\+[\d,]+ characters\)", shown)
