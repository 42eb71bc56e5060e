"""The rank page says the answer first, shows whatever it is given, and needs nothing but itself."""

import base64
import hashlib
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from loraflow.compare.statistics import Interval
from loraflow.sweep.report.content import RankPage, Value
from loraflow.sweep.report.render import render
from tests.evaluate.report.outline import Outline
from tests.sweep.report.rank_pages import (
    TARGETS,
    many_arms_page,
    name_of,
    page_of,
    realistic_page,
    run,
    sweep_page,
    tuned_page,
    unfinished,
)

SECTIONS = [
    "quality",
    "cost",
    "map",
    "differences",
    "space",
    "curves",
    "arms",
    "trials",
    "reading",
]
REGEX = r"^model\.layers\.(?:[0-9]|1[0-5])\.(?:self_attn\.(?:q|k|v|o)_proj|mlp\.up_proj)$"
HOSTILE = (
    "\"'></title></script><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}",
    "</style>--><!--<![CDATA[",
    "half \ud83d a pair",
    "\u202eright to left override\u2066 \x00\x07\u2028",
    "家父是大理寺少卿甄远道" * 200,
    "",
)
SMALL: Mapping[str, Sequence[Value]] = {"r": [1, 8], "target_modules": TARGETS[:2]}


def without_intervals() -> RankPage:
    page = sweep_page(SMALL, items=20)
    assert page.comparison is not None
    nothing = (math.nan, math.nan)
    arms = {
        name: replace(score, value=Interval(score.value.value, *nothing))
        for name, score in page.comparison.arms.items()
    }
    gaps = {
        name: replace(
            gap,
            difference=replace(gap.difference, low=math.nan, high=math.nan),
            p_holm=math.nan,
            detectable=math.nan,
        )
        for name, gap in page.comparison.gaps.items()
    }
    return replace(page, comparison=replace(page.comparison, arms=arms, gaps=gaps))


def failed_only() -> RankPage:
    values: Mapping[str, Value] = {"r": 4, "target_modules": "attention"}
    trials = [unfinished("r=4 attention", values, seed, "failed", "no memory") for seed in (0, 1)]
    return page_of(trials, {"r": [4], "target_modules": ["attention"]})


ODD: dict[str, Callable[[], RankPage]] = {
    "two arms, no control, one seed": lambda: page_of(
        [run(f"r={r}", {"r": r}, 0, items=20) for r in (1, 8)], {"r": [1, 8]}
    ),
    "many arms": many_arms_page,
    "categories alone": lambda: sweep_page({"method": ["lora", "dora", "ia3"]}, items=20),
    "one dimension": lambda: sweep_page({"r": [1, 4, 16]}, items=20),
    "three dimensions": lambda: sweep_page({**SMALL, "alpha": [8, 16]}, items=20),
    "r of nothing": lambda: sweep_page({"r": [0, 4, None, True]}, items=20),
    "Chinese": lambda: sweep_page({"秩": [1, 4], "目标模块": ["查询与值", "全部"]}, items=20),
    "regexes": lambda: sweep_page({"r": [1, 4], "target_modules": [REGEX, ".*_proj"]}, items=20),
    "a loss": lambda: sweep_page(SMALL, items=20, metric="loss"),
    "shares": lambda: sweep_page(SMALL, items=20, metric="accuracy"),
    "no intervals": without_intervals,
    "two items": lambda: sweep_page(SMALL, items=2),
    "one arm": lambda: page_of([run("r=4", {"r": 4}, seed) for seed in (0, 1)], {"r": [4]}),
    "a control alone": lambda: sweep_page({"r": []}),
    "only failed": failed_only,
    "nothing": lambda: page_of([], {"r": [4, 8]}),
    "tuned": tuned_page,
}


@pytest.fixture(scope="module")
def html() -> str:
    return render(realistic_page())


def hostile_page(text: str) -> RankPage:
    """Return a page that holds `text` wherever a text can be."""
    arms = [run(f"{text} {r}", {"r": r, text: text}, 0, items=20) for r in (1, 8)]
    failed = unfinished(text, {"r": 4, text: text}, 1, "failed", text)
    page = page_of([*arms, failed], {"r": [1, 8], text: [text, "other"]})
    return replace(page, title=text, meaning=text, facts=[(text, text)], findings=[text])


def test_the_answer_comes_first_then_every_section_in_its_order(html: str) -> None:
    outline = Outline(html)
    assert [found.get("id") for found in outline.named("section")] == SECTIONS
    page = realistic_page()
    assert page.recommendation is not None
    assert html.index("<h1") < html.index(page.recommendation.sentence[:30]) < html.index("<svg")
    assert f">{page.recommendation.arm} is enough</h1>" in html


def test_the_contents_link_to_what_is_there(html: str) -> None:
    ids = {found.get("id") for _, found in Outline(html).tags}
    anchors = [found["href"] or "" for found in Outline(html).named("a")]
    assert {anchor[1:] for anchor in anchors if anchor.startswith("#")} <= ids


@pytest.mark.parametrize("build", ODD.values(), ids=ODD.keys())
def test_odd_sweeps_are_shown_with_whole_drawings(build: Callable[[], RankPage]) -> None:
    page = build()
    html = render(page)
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        root = ET.fromstring(drawing)
        assert root.get("aria-label")
        assert "nan" not in drawing.lower().replace("[u+", "")
        assert "inf" not in re.sub(r">[^<]*<|aria-label=\"[^\"]*\"", "", drawing)
    for trial in page.trials:
        assert trial.name in Outline(html).text


def test_without_two_finished_arms_the_page_says_why() -> None:
    assert "No trial has finished" in Outline(render(failed_only())).text
    assert "Only r=4 has finished" in Outline(render(ODD["one arm"]())).text
    assert "There are no trials" in Outline(render(ODD["nothing"]())).text


def test_states_look_different_and_give_their_reasons(html: str) -> None:
    text = Outline(html).text
    for sign, state in (("✓", "finished"), ("✗", "failed"), ("…", "waiting")):
        assert f'<span class="tag {state}">{sign} {state}</span>' in html
    assert "CUDA out of memory: 2.1 GiB asked for" in text
    pruned = render(tuned_page())
    assert '<span class="tag pruned">✂ pruned</span>' in pruned
    assert "step 20: loss 2.91" in Outline(pruned).text


def test_only_addresses_of_the_web_become_links() -> None:
    page = sweep_page(SMALL, items=20)
    trials = [replace(trial, url="javascript:alert(1)") for trial in page.trials]
    outline = Outline(render(replace(page, trials=trials)))
    links = [found["href"] or "" for found in outline.named("a")]
    assert all(link.startswith("#") for link in links)


@pytest.mark.parametrize("text", HOSTILE)
def test_texts_cannot_become_part_of_the_page(text: str) -> None:
    html = render(hostile_page(text)).encode(errors="backslashreplace").decode()
    outline, plain = Outline(html), Outline(render(hostile_page("plain")))
    assert {name for name, _ in outline.tags} <= {name for name, _ in plain.tags} | {"wbr"}
    assert len(outline.named("script")) == len(plain.named("script"))
    assert not [name for _, found in outline.tags for name in found if name.startswith("on")]
    assert not re.search("[\x00-\x08\u202a-\u202e\u2066-\u2069\u2028]", html)
    for drawing in re.findall(r"<svg.*?</svg>", html, re.DOTALL):
        ET.fromstring(drawing)


def test_texts_are_shown_as_they_are() -> None:
    text = Outline(render(hostile_page(HOSTILE[0]))).text
    assert text.count("{{ 7 * 7 }}") > 10
    assert "</script><script>alert(1)</script>" in text


def test_nothing_is_fetched_and_only_one_script_may_run(html: str) -> None:
    outline = Outline(html)
    links = [found.get(name) or "#" for _, found in outline.tags for name in ("src", "href")]
    assert all(link.startswith(("#", "data:,", "http://127.0.0.1")) for link in links)
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


def test_every_header_of_a_table_has_a_scope(html: str) -> None:
    assert all(found.get("scope") for found in Outline(html).named("th"))


def test_without_a_script_nothing_is_hidden_but_the_choice_of_an_arm(html: str) -> None:
    hidden = [found for _, found in Outline(html).tags if "hidden" in found]
    assert [found.get("class") for found in hidden] == ["choose"]


def test_long_lists_are_folded_and_whole() -> None:
    page = many_arms_page()
    html = render(page)
    assert html.count("<details>") == 2
    assert Outline(html).text.count(page.arms[-1].name) >= 3


def test_the_page_of_many_arms_stays_small() -> None:
    page = many_arms_page()
    assert len(page.arms) == 121
    assert len(render(page)) < 900_000


def test_the_same_content_gives_the_same_page(html: str) -> None:
    assert render(realistic_page()) == html


def test_tuned_dimensions_are_marked_and_have_slices_of_their_own() -> None:
    html = render(tuned_page())
    assert "learning_rate <small>tuned</small>" in html
    assert 'aria-label="rougeL of 21 trials against learning_rate"' not in html  # the base has none
    assert re.search(r'aria-label="rougeL of \d+ trials against learning_rate"', html)


@pytest.mark.parametrize(
    ("space", "keys"),
    [
        ({"r": range(1, 13)}, "r=1 r=2 to 3 r=4 r=5 to 6 r=7 to 8 r=9 r=10 to 11 r=12"),
        ({"set": list("abcdefghi")}, "a b c d e, f g h i"),
    ],
)
def test_a_colour_is_of_all_values_that_share_it(
    space: Mapping[str, Sequence[Value]], keys: str
) -> None:
    html = render(sweep_page(space, seeds=(0,), items=10))
    found = re.findall(r'class="stroke q\d"[^>]*></i><span[^>]*>([^<]*)<', html)
    assert " ".join(found) == keys


def test_what_has_one_score_in_each_arm_explains_nothing() -> None:
    ranks, tuned = (1, 4, 16, 64), {1: 1e-4, 4: 3e-4, 16: 2e-4, 64: 5e-4}
    values: list[dict[str, Value]] = [{"r": r, "learning_rate": tuned[r]} for r in ranks]
    pruned: dict[str, Value] = {"r": 4, "learning_rate": 1e-3}
    runs = [run(name_of(one), one, seed, items=20) for one in values for seed in (0, 1)]
    runs.append(unfinished(name_of(pruned), pruned, 0, "pruned", "1 of 3 went on"))
    rates = [*tuned.values(), 1e-3]
    page = page_of(runs, {"r": ranks, "learning_rate": rates}, tuned=["learning_rate"])
    assert not any("explains most" in sentence for sentence in page.findings)
    html = render(page)
    assert "learning_rate</b>, which was tuned, has one scored value in each arm" in html
    assert "trials against learning_rate" not in html
    assert all(one.importance for one in tuned_page().dimensions)


def test_arms_that_are_spoken_of_are_marked_in_every_table(html: str) -> None:
    assert html.count('<span class="badge enough">enough</span>') == 2
    assert html.count('<span class="badge best">best</span>') == 2


def test_what_belongs_to_an_arm_has_one_number_everywhere() -> None:
    page = sweep_page(SMALL, items=20)
    html = render(page)
    name = name_of({"r": 8, "target_modules": "attention"})
    found = re.findall(rf'data-arm="(\d+)"[^>]*><title>{name}[: ]', html)
    assert len(found) > 5
    assert len(set(found)) == 1
