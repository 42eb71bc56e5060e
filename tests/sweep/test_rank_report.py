"""The rank report: the same trials as a page, as text and as a picture, whatever is in them."""

import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from loraflow.errors import UserError
from loraflow.sweep.importance import importances
from loraflow.sweep.report import outcomes
from loraflow.sweep.report.content import Cost, Dimension, RankPage, Trial
from loraflow.sweep.report.gather import Question, gather
from loraflow.sweep.report.markdown import as_markdown
from loraflow.sweep.report.picture import quality_picture
from loraflow.sweep.report.render import render
from loraflow.sweep.report.run import write
from loraflow.sweep.report.scores import Measured
from loraflow.sweep.report.terminal import show_rank
from loraflow.sweep.space import read_dimensions
from loraflow.sweep.trials import arm_trials

RANKS = Dimension("r", "adapter.r", [1, 4, 16])
TARGETS = Dimension("target_modules", "adapter.target_modules", ["attention_qv", "全部"])


def question(*dimensions: Dimension, metric: str = "rougeL") -> Question:
    return Question(
        "sweep", metric, 0.02, "sft", dimensions or (RANKS, TARGETS), [("data", "数据.json")]
    )


def one(name: str, values: dict[str, Any], seed: int, quality: float, items: int = 40) -> Measured:
    draw = np.random.default_rng([seed, items])
    scores = quality + draw.normal(0, 0.05, items)
    trial = Trial(
        f"{name} seed={seed}",
        name,
        values,
        seed,
        "finished",
        cost=Cost(60.0 + quality, 20.0, 9_000, int(1e5 * values.get("r", 0)), 3.2),
        losses=[(step, 4 / step) for step in range(1, 9)],
        validation=[(4, 2.0), (8, 1.5)],
        url="http://127.0.0.1:5000/#/run",
    )
    rows = [{"id": str(place), "rougeL": float(score)} for place, score in enumerate(scores)]
    metrics = {"rougeL": float(scores.mean()), "loss": 3 - quality}
    return Measured(trial, rows, metrics, 2.0 if values else None, is_control=not values)


def measured(seeds: Sequence[int] = (0, 1)) -> list[Measured]:
    found = [one("base model", {}, 0, 0.1)]
    for targets, lift in (("attention_qv", 0.0), ("全部", 0.05)):
        for place, rank in enumerate((1, 4, 16)):
            values: dict[str, Any] = {"r": rank, "target_modules": targets}
            quality = 0.2 + lift + 0.04 * place
            found += [one(f"r={rank} {targets}", values, seed, quality) for seed in seeds]
    return found


def page(*more: Measured, **changes: Any) -> RankPage:
    return replace(gather(question(), [*measured(), *more]), **changes)


def unfinished(state: Any, reason: str) -> Measured:
    values: dict[str, Any] = {"r": 4, "target_modules": "全部"}
    trial = Trial(f"{state} one", "r=4 全部", values, 2, state, reason, losses=[(1, 3.0), (2, 9.0)])
    return Measured(trial)


def test_the_page_needs_nothing_from_elsewhere_and_its_charts_are_whole() -> None:
    html = render(page())
    assert not re.search(r'(src|href)="(?!#|data:|http://127)', html)
    charts = re.findall(r"<svg.*?</svg>", html, re.DOTALL)
    assert len(charts) == 7
    for chart in charts:
        ET.fromstring(chart)


def test_the_answer_comes_first_everywhere(capsys: pytest.CaptureFixture[str]) -> None:
    shown = page()
    assert shown.recommendation is not None
    sentence = shown.recommendation.sentence
    assert as_markdown(shown).startswith(f"**{sentence}**")
    assert render(shown).index(sentence[:30]) < render(shown).index("<svg")
    show_rank(shown, {"report": "rank.html"})
    printed = capsys.readouterr().out
    assert " ".join(sentence.split()) in " ".join(printed.split())
    assert "rank.html" in printed


def test_pruned_failed_and_waiting_look_different_and_give_reasons() -> None:
    shown = page(
        unfinished("pruned", "far behind"),
        unfinished("failed", "out of memory | <b>lower it</b>"),
        unfinished("waiting", ""),
    )
    html, text = render(shown), as_markdown(shown)
    for state in ("pruned", "failed", "waiting"):
        assert f'<tr class="{state}">' in html
        assert f"| {state} |" in text
    assert "&lt;b&gt;lower it" in html
    assert r"out of memory \| " in text
    assert any("1 of 16 trials failed" in sentence for sentence in shown.findings)
    assert len(shown.arms) == 7


def test_hostile_names_stay_text() -> None:
    name = "<script>alert(1)</script>"
    shown = gather(question(RANKS), [one(name, {"r": 4}, 0, 0.3), one("base model", {}, 0, 0.1)])
    assert "<script>alert" not in render(shown)


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_any_number_of_seeds_is_shown(seeds: Sequence[int], tmp_path: Path) -> None:
    shown = gather(question(), measured(seeds))
    write(shown, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"rank.html", "rank.md", "rank.png"}
    assert ("one seed" in as_markdown(shown)) == (len(seeds) == 1)


def test_many_arms_of_no_number_are_shown() -> None:
    method = Dimension("method", "method", [f"method {place}" for place in range(60)])
    trials = [one(name, {"method": name}, 0, 0.2) for name in map(str, method.values)]
    shown = gather(question(method), [one("base model", {}, 0, 0.1), *trials])
    assert render(shown).count("method 59") > 1
    assert quality_picture(shown)[:4] == b"\x89PNG"


@pytest.mark.parametrize("found", [[], [unfinished("failed", "no memory")]])
def test_nothing_finished_is_said(found: list[Measured]) -> None:
    shown = gather(question(), found)
    assert shown.recommendation is None
    assert "Nothing to compare yet" in render(shown)
    assert quality_picture(shown)


def test_only_chosen_arms_are_compared_and_all_trials_are_listed() -> None:
    shown = gather(question(), measured(), ["base model", "r=4 全部"])
    assert [arm.name for arm in shown.arms] == ["base model", "r=4 全部"]
    assert len(shown.trials) == 13


def test_what_cannot_be_compared_is_named() -> None:
    other = one("r=4 全部", {"r": 4, "target_modules": "全部"}, 0, 0.3, items=41)
    with pytest.raises(UserError, match="have not answered the same items"):
        gather(question(), [*measured(), replace(other, trial=replace(other.trial, arm="x"))])
    with pytest.raises(UserError, match=r"sweep\.compare\.metric=bleu was not measured"):
        gather(question(metric="bleu"), measured())


def test_an_item_without_a_number_costs_its_trial_alone() -> None:
    trials = measured()
    names = [trial.trial.name for trial in trials]
    for name in ("r=4 全部 seed=1", "r=16 全部 seed=0", "r=16 全部 seed=1"):
        lost = trials[names.index(name)]
        first, *rest = lost.items
        trials[names.index(name)] = replace(lost, items=[{**first, "rougeL": math.nan}, *rest])
    shown = gather(question(), trials)
    assert shown.comparison is not None
    seeds = {name: len(score.seeds) for name, score in shown.comparison.arms.items()}
    assert {name for name, count in seeds.items() if count == 1} == {"base model", "r=4 全部"}
    reason = "rougeL is nan (1 of 40 held-out items without a number)"
    assert f"r=4 全部 seed=1 finished and is not compared: {reason}." in shown.findings
    assert reason in render(shown)


def test_a_page_on_which_one_arm_alone_has_a_number_says_so() -> None:
    base, other, *_ = measured((0,))
    lost = replace(other, items=[{**item, "rougeL": math.nan} for item in other.items])
    text = as_markdown(gather(question(), [base, lost]))
    assert "Only base model has finished with a number" in text
    assert "rougeL is nan (40 of 40 held-out items without a number)" in text


def test_arms_that_are_lost_are_named_and_the_smaller_ones_apart() -> None:
    lost = ("r=1 全部", "r=4 全部", "r=16 attention_qv")
    trials = [
        replace(trial, trial=replace(trial.trial, state="failed", cost=None))
        if trial.trial.arm in lost
        else trial
        for trial in measured()
    ]
    shown = gather(question(), trials)
    assert shown.recommendation is not None
    assert shown.recommendation.arm == "r=16 全部"
    said = " ".join(shown.findings)
    assert "Missing from the comparison: r=16 attention_qv, r=1 全部, r=4 全部." in said
    assert (
        "Smaller than r=16 全部, and perhaps enough, had it not failed: r=1 全部, r=4 全部." in said
    )
    waiting = [replace(one, trial=replace(one.trial, state="waiting")) for one in trials[-6:-2]]
    assert not any("Missing" in one for one in gather(question(), [*trials[:5], *waiting]).findings)


def test_seeds_that_differ_no_more_than_items_do_are_not_said_to_move_by_0() -> None:
    alike = [*measured((0,)), *(_again(trial) for trial in measured((0,)) if not trial.is_control)]
    said = " ".join(gather(question(), alike).findings)
    assert "moves no more than the noise of the items explains" in said


def _again(measured: Measured) -> Measured:
    name = f"{measured.trial.arm} seed=1"
    return replace(measured, trial=replace(measured.trial, name=name, seed=1))


def test_trials_are_scored_by_what_the_judge_gave_as_their_arms_are() -> None:
    rated = [
        replace(
            trial,
            items=[
                {**item, "judge_rating": None if place == number else 5 + item["rougeL"]}
                for place, item in enumerate(trial.items)
            ],
        )
        for number, trial in enumerate(measured())
    ]
    shown = gather(question(metric="judge_rating"), rated)
    assert shown.comparison is not None
    assert shown.comparison.items == 40 - len(rated)
    for name, score in shown.comparison.arms.items():
        assert score.seeds == tuple(one.score for one in shown.trials if one.arm == name)
    assert all(one.importance is not None for one in shown.dimensions)


def test_dimensions_whose_keys_end_alike_stay_apart() -> None:
    keys = {"adapter.method": ["lora", "dora"], "quantization.method": ["nf4", "int8"]}
    space = read_dimensions(keys, "sweep.space")
    (trial,) = arm_trials(space, {key: values[0] for key, values in keys.items()}, {}, [0])
    shown = outcomes.measured(trial, None, space).trial
    assert shown.values == {"adapter.method": "lora", "quantization.method": "nf4"}
    assert [one.name for one in outcomes.shown_dimensions(space, [], [])] == list(keys)


def test_what_explains_the_scores_gets_the_larger_share() -> None:
    draw = np.random.default_rng(0)
    trials = [
        ({"r": rank, "noise": word}, float(np.log2(rank)) + draw.normal(0, 0.1))
        for rank in (1, 2, 4, 8, 16)
        for word in ("a", "b")
    ]
    shares = importances(trials)
    assert shares["r"] > 0.8
    assert sum(shares.values()) == pytest.approx(1)
    assert importances(trials[:2]) == {}
    assert importances([(values, 1.0) for values, _ in trials]) == {}


def test_of_arms_that_are_equal_the_smaller_one_is_the_best() -> None:
    small, large = (one(f"r={rank}", {"r": rank}, 0, 0.5) for rank in (1, 16))
    found = gather(question(RANKS), [one("base model", {}, 0, 0.1), large, small])
    assert found.comparison is not None
    assert found.comparison.best == "r=1"


def test_items_that_share_prompts_are_said() -> None:
    arms = [one("base model", {}, 0, 0.1), one("r=1", {"r": 1}, 0, 0.5)]
    shared = [
        replace(it, items=[{**item, "prompt_id": int(item["id"]) // 4} for item in it.items])
        for it in arms
    ]
    findings = " ".join(gather(question(RANKS), shared).findings)
    assert "The 40 held-out items answer 10 prompts" in findings
    assert "prompts" not in " ".join(gather(question(RANKS), arms).findings)
