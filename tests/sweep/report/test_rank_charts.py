"""Charts of the rank report: what stands where, and that nothing covers another."""

import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from itertools import combinations, pairwise

import pytest

from loraflow.compare.recommend import Kind
from loraflow.page.charts.scale import Box, Scale, short, short_all
from loraflow.page.charts.svg import fit, tag, width_of
from loraflow.sweep.report.charts.curves import draw_curves
from loraflow.sweep.report.charts.forest import draw_forest
from loraflow.sweep.report.charts.heatmap import draw_heatmap
from loraflow.sweep.report.charts.labels import place_beside, stack
from loraflow.sweep.report.charts.lines import colours_of, lines_of
from loraflow.sweep.report.charts.parallel import draw_parallel
from loraflow.sweep.report.charts.pareto import draw_pareto, front
from loraflow.sweep.report.charts.quality import draw_quality
from loraflow.sweep.report.charts.slices import draw_slices
from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.words import marks
from tests.sweep.report.rank_pages import (
    BASE,
    TARGETS,
    far_page,
    page_of,
    realistic_page,
    run,
    sweep_page,
    tuned_page,
    unfinished,
)

BOX = Box(0, 0, 400, 300)


@pytest.fixture(scope="module")
def page() -> RankPage:
    return realistic_page()


@pytest.fixture(scope="module")
def loss_page() -> RankPage:
    return sweep_page({"r": [1, 4, 16], "target_modules": TARGETS[:2]}, metric="loss", items=60)


def count(drawing: str | None, look: str) -> int:
    return len(re.findall(rf'class="{look}[" ]', drawing or ""))


def test_lines_go_over_r_and_are_the_other_compared_values(page: RankPage) -> None:
    found = lines_of(page)
    assert found is not None
    across, lines = found
    assert across.key == "adapter.r"
    assert {line.name for line in lines} == set(TARGETS)
    ranks = [[arm.values["r"] for arm in line.arms] for line in lines]
    assert ranks == [[1, 2, 4, 8, 16, 32, 64]] * 3


def test_what_was_tuned_makes_no_lines() -> None:
    found = lines_of(tuned_page())
    assert found is not None
    (line,) = found[1]
    assert line.name == ""
    assert [arm.values["r"] for arm in line.arms] == [1, 4, 16, 64]


def test_the_first_dimension_of_numbers_stands_across_where_r_does_not_vary() -> None:
    found = lines_of(sweep_page({"method": ["lora", "dora"], "alpha": [8, 16]}, items=10))
    assert found is not None
    assert found[0].name == "alpha"


def test_arms_that_no_number_tells_apart_are_ranked() -> None:
    methods = sweep_page({"method": ["lora", "dora", "ia3"]}, items=10)
    lonely = [run(f"r={r} a{r}", {"r": r, "set": f"a{r}"}, 0, items=10) for r in (1, 8)]
    for ranked in (methods, page_of(lonely, {"r": [1, 8], "set": ["a1", "a8"]})):
        drawn = draw_quality(ranked)
        assert drawn is not None
        assert drawn.across == ""
        assert count(drawn.drawing, "hit") == len(ranked.arms)


def test_the_chart_shows_intervals_seeds_margin_controls_and_the_best(page: RankPage) -> None:
    drawn = draw_quality(page)
    assert drawn is not None
    assert count(drawn.drawing, "bar") == 21
    assert count(drawn.drawing, "band") == count(drawn.drawing, "line") == 3
    assert count(drawn.drawing, "margin") == count(drawn.drawing, "control") == 1
    assert ">best</text>" in drawn.drawing
    assert ">enough</text>" in drawn.drawing
    assert BASE in drawn.drawing


def test_one_seed_has_no_band() -> None:
    drawn = draw_quality(sweep_page({"r": [1, 4]}, seeds=(0,), items=10))
    assert drawn is not None
    assert drawn.seeds == ""
    assert count(drawn.drawing, "band") == 0


def test_more_lines_than_can_be_told_apart_get_a_panel_each() -> None:
    many = sweep_page({"r": [1, 4], "set": [f"set {place}" for place in range(9)]}, items=10)
    drawn = draw_quality(many)
    assert drawn is not None
    assert count(drawn.drawing, "line s0") == 9
    assert count(drawn.drawing, "context") == 9 * 8
    assert drawn.seeds == "tick"
    assert '<text class="note best"' in drawn.drawing
    assert count(drawn.drawing, "seed") == 9 * 2 * 2


def test_a_control_far_away_does_not_flatten_the_arms() -> None:
    lines, ranked = (
        draw_quality(far_page({"r": [1, 2]})),
        draw_quality(far_page({"set": ["a", "b"]})),
    )
    assert lines is not None
    assert ranked is not None
    assert f">{BASE} \u2191 8." in lines.drawing
    assert f">{BASE} \u2192 8." in ranked.drawing


def test_of_a_loss_less_is_better_in_every_chart(loss_page: RankPage) -> None:
    comparison = loss_page.comparison
    assert comparison is not None
    forest = draw_forest(loss_page, comparison)
    assert forest.rows[0].arm.name == comparison.best
    assert all(row.at <= forest.zero for row in forest.rows[1:])
    assert forest.strip[0] < forest.zero
    best = front(loss_page, comparison, lambda arm: arm.trainable_parameters)
    values = [comparison.arms[arm.name].value.value for arm in best]
    assert values == sorted(values, reverse=True)
    assert best[-1].name == comparison.best


def test_no_arm_of_the_front_is_beaten_and_every_other_is(page: RankPage) -> None:
    comparison = page.comparison
    assert comparison is not None

    def beats(one: str, other: str) -> bool:
        sizes = {arm.name: arm.trainable_parameters for arm in page.arms}
        values = {name: score.value.value for name, score in comparison.arms.items()}
        return sizes[one] <= sizes[other] and values[one] > values[other]

    best = {arm.name for arm in front(page, comparison, lambda arm: arm.trainable_parameters)}
    names = [arm.name for arm in page.arms]
    beaten = {name for name in names if any(beats(other, name) for other in names)}
    assert best == set(names) - beaten


def test_costs_that_do_not_differ_are_not_drawn(page: RankPage) -> None:
    assert draw_pareto(page, lambda arm: 7.0, "seconds") is None


def test_the_map_has_a_cell_for_each_pair_and_frames_the_answer(page: RankPage) -> None:
    drawn = draw_heatmap(page)
    assert count(drawn, "cell") == 21
    assert count(drawn, "cell enough") == count(drawn, "cell best") == 1
    assert draw_heatmap(sweep_page({"r": [1, 4]}, items=10)) is None


def test_a_cell_of_three_dimensions_is_its_best_arm() -> None:
    cube = sweep_page({"r": [1, 4], "set": ["a", "b"], "alpha": [8, 16]}, items=10)
    comparison = cube.comparison
    assert comparison is not None
    drawn = draw_heatmap(cube) or ""
    inside = [arm.name for arm in cube.arms if arm.name.startswith("r=1 a ")]
    values = {name: comparison.arms[name].value.value for name in inside}
    assert count(drawn, "cell") == 4
    assert f"<title>{max(values, key=values.__getitem__)}:" in drawn
    assert f"<title>{min(values, key=values.__getitem__)}:" not in drawn


def test_every_finished_trial_is_a_line_through_all_dimensions(page: RankPage) -> None:
    drawn = draw_parallel(page) or ""
    assert count(drawn, "curve") == 42
    assert count(drawn, "pole") == 4
    for name in ("r", "target_modules", "seconds", "rougeL"):
        assert f">{name}</text>" in drawn


def test_the_better_trials_stand_higher_also_where_less_is_better(
    page: RankPage, loss_page: RankPage
) -> None:
    for shown, better in ((page, max), (loss_page, min)):
        scores = {one.name: one.score for one in shown.trials if one.score and one.values}
        ways = re.findall(
            r'<title>([^<]*?): .*?class="curve[^>]* d="M\S+ (\S+?)C[^"]* (\S+)"',
            draw_parallel(shown) or "",
        )
        assert len(ways) == len(scores)
        best, of_four = (
            better((scores[name], name) for name, *_ in ways if word in name)[1]
            for word in ("", "r=4 ")
        )
        assert min((float(end), name) for name, _, end in ways)[1] == best
        assert min((float(at), name) for name, at, _ in ways if "r=4 " in name)[1] == of_four


def test_curves_of_pruned_and_failed_trials_end_with_a_mark() -> None:
    tuned = tuned_page()
    drawn = draw_curves(tuned, validation=False) or ""
    states = [trial.state for trial in tuned.trials]
    assert count(drawn, "end pruned") == states.count("pruned") == 15
    assert count(drawn, "end failed") == states.count("failed") == 1
    assert draw_curves(sweep_page({"r": []}), validation=True) is None


def test_a_loss_that_diverged_does_not_flatten_the_others() -> None:
    wild = unfinished("r=8", {"r": 8}, 0, "failed", "diverged")
    losses = [*wild.trial.losses[:-1], (21, 1e9)]
    mild = run("r=4", {"r": 4}, 0)
    runs = [mild, replace(wild, trial=replace(wild.trial, losses=losses))]
    drawn = draw_curves(page_of(runs, {"r": [4, 8]}), validation=False) or ""
    assert "1G" not in drawn
    assert ">4</text>" in drawn


@pytest.mark.parametrize(
    ("task", "unit"),
    [("text", "nats a token"), ("classify", "nats a row"), ("preference", "pairs")],
)
def test_a_training_loss_has_the_unit_of_its_task(page: RankPage, task: str, unit: str) -> None:
    drawn = draw_curves(replace(page, task=task), validation=False) or ""
    assert re.search(rf">training loss, [^<]*{unit}</text>", drawn)


def test_slices_are_for_spaces_that_other_charts_do_not_show_whole(page: RankPage) -> None:
    assert draw_slices(page) == []
    assert len(draw_slices(tuned_page())) == 2
    cube = sweep_page({"r": [1, 4], "set": ["a", "b"], "alpha": [8, 16]}, items=10)
    assert len(draw_slices(cube)) == 3


def test_colours_follow_the_order_of_r(page: RankPage) -> None:
    looks = list(colours_of(page).looks.values())
    assert looks == sorted(looks)
    assert (looks[0], looks[-1]) == ("q0", "q7")


def test_stacked_labels_keep_their_distance_and_their_order() -> None:
    found = stack([10, 11, 12, 200], 0, 300)
    assert all(after - before >= 15 for before, after in pairwise(found))
    assert max(stack([290.0] * 5, 0, 300)) <= 300
    crowded = stack([5.0] * 100, 0, 300)
    assert min(crowded) == pytest.approx(0, abs=1e-9)
    assert max(crowded) == pytest.approx(300)


def test_labels_beside_points_cover_neither_each_other_nor_points() -> None:
    points = [(20.0 * x, 20.0 * y) for x in range(1, 19) for y in range(2, 14, 3)]
    words = ["r=16 all_linear"] * len(points)
    spots = [spot for spot in place_beside(points, words, points, BOX) if spot is not None]
    wide = width_of(words[0], 13)
    shift = {"start": 0.0, "middle": -wide / 2, "end": -wide}
    lefts = [(at[0] + shift[anchor], at[1]) for at, anchor in spots]
    assert len(spots) > 5
    for (x, y), (other_x, other_y) in combinations(lefts, 2):
        assert abs(x - other_x) >= wide - 1e-6 or abs(y - other_y) >= 15 - 1e-6
    for x, y in points:
        assert not any(left < x < left + wide and abs(y - top) < 7 for left, top in lefts)


@pytest.mark.parametrize(("low", "high"), [(0.1, 0.3), (721_000, 721_900), (-3, 4), (2, 2.0001)])
def test_no_two_ticks_look_the_same(low: float, high: float) -> None:
    ticks = Scale(low, high, 0, 100).ticks()
    words = short_all(ticks)
    assert len(set(words)) == len(words) >= 2


def test_a_scale_keeps_what_lies_outside_at_its_edge() -> None:
    scale = Scale(1, 64, 0, 60, log=True)
    assert (scale(1), scale(8), scale(64)) == (0, 30, 60)
    assert (scale(0), scale(1e9)) == (0, 60)


def test_numbers_are_short() -> None:
    assert [short(one) for one in (0.25, 64, 57_600, 1_843_200, -0.1)] == [
        "0.25",
        "64",
        "57.6k",
        "1.84M",
        "\u22120.1",
    ]


def test_names_are_cut_in_the_middle_to_the_room_there_is() -> None:
    name = "q_proj+k_proj+v_proj+o_proj+gate_proj"
    cut = fit(name, 100)
    assert width_of(cut) <= 100
    assert cut.startswith("q_proj")
    assert cut.endswith("proj")
    assert fit("全部线性层", 300) == "全部线性层"
    assert width_of("全部") > width_of("ab")


def test_elements_are_escaped() -> None:
    drawn = tag("text", class_="a", data_x='"><script>', stroke_width=None)
    assert ET.fromstring(drawn).attrib == {"class": "a", "data-x": '"><script>'}


@pytest.mark.parametrize(
    ("kind", "inside_noise", "more"),
    [
        ("enough", "r=4 all_linear", {"r=4 all_linear": "enough"}),
        ("enough", "r=1 attention", {"r=4 all_linear": "enough", "r=1 attention": "may be enough"}),
        ("cannot tell", "r=1 attention", {"r=1 attention": "may be enough"}),
        ("best", "r=4 all_linear", {}),
        ("no gain", BASE, {}),
    ],
)
def test_marks_name_what_the_recommendation_speaks_of(
    page: RankPage, kind: Kind, inside_noise: str, more: dict[str, str]
) -> None:
    comparison, found = page.comparison, page.recommendation
    assert comparison is not None
    assert found is not None
    spoken = replace(found, kind=kind, arm="r=4 all_linear", inside_noise=inside_noise)
    assert marks(replace(page, recommendation=spoken)) == {comparison.best: "best", **more}
