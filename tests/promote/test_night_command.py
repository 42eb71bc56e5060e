"""What a night is asked for: its own sections, the experiment, and what a sweep recommends."""

from pathlib import Path

import pytest

from flows.command import CONF
from flows.night_command import read_night
from loraflow.errors import UserError


@pytest.mark.parametrize("gate", ["default", "strict"])
def test_every_gate_composes(gate: str) -> None:
    request = read_night([f"gate={gate}", "evaluate.probes=[en]"])
    assert request.gate.metric == "rougeL"
    assert request.night.name == request.config.model.name


def test_the_gate_without_answers_is_for_models_that_write_none() -> None:
    words = ["train=classify", "data=file", "data.path=x.jsonl", "data.layout=classify"]
    words += ["evaluate.probes=[]", "judge=none"]
    assert read_night([*words, "gate=without_answers"]).gate.metric == "accuracy"
    with pytest.raises(UserError, match="gate=without_answers"):
        read_night(words)


@pytest.mark.parametrize(
    ("word", "fault"),
    [
        ("gate.margin=-0.1", "gate.margin"),
        ("gate.metric=rougel", "rougeL"),
        ("gate.margn=0.1", "gate.margn is not a key .* .did you mean gate.margin"),
        ("gate.guards.forgeting=null", "did you mean gate.guards.forgetting"),
        ("schedule.timezon=UTC", "did you mean schedule.timezone"),
        ("data=file", "^data.path has no value"),
        ("schedule.timezone=Asia/Shanghia", "Asia/Shanghai"),
        ("night.drift.action=ask", "night.drift.action"),
        ("adapter=none", "adapter=lora"),
        ("night.name=a/b", "night.name=NAME"),
        ("night.name=..", "night.name=NAME"),
        ('night.name="two words"', "night.name=NAME"),
        ("data.split.held_out_path=x.jsonl", "gate.path"),
        ("experiment=cpt_then_sft_then_dpo", "before.cpt: .* leave before out: .* model=folder"),
        ("++night.hooks={team: {on: [promotd]}}", "did you mean promoted"),
    ],
)
def test_a_wrong_key_is_named(word: str, fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        read_night([word])


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["adapter=adalora"], "adapter.method=adalora cannot go on from the champion"),
        (["adapter=full", "quantization=none"], "adapter.method=full cannot go on from"),
        (["night.sweep_on=[sunday]"], r"night.sweep_on=\[sunday\] looks for another r"),
    ],
)
def test_a_start_that_would_not_be_gone_on_from_is_refused(words: list[str], fault: str) -> None:
    read_night(words)
    with pytest.raises(UserError, match=f"{fault}.*set night.start=base"):
        read_night([*words, "night.start=champion"])


def test_a_recommendation_is_followed_unless_the_command_line_says_otherwise() -> None:
    recommended = {"adapter.r": 4, "adapter.target_modules": "all_linear"}
    followed = read_night(["gate.margin=0.01"]).with_words(recommended)
    assert followed.config.adapter.r == 4
    assert followed.config.adapter.target_modules == "all_linear"
    own = read_night(["adapter.r=16"]).with_words(recommended)
    assert (own.config.adapter.r, own.config.adapter.target_modules) == (16, "all_linear")


def test_settings_follow_what_a_challenger_depends_on_and_not_where_things_lie(
    tmp_path: Path,
) -> None:
    usual = read_night([]).settings
    assert read_night([f"store={tmp_path}", "night.disk_gib=1"]).settings == usual
    for word in ("adapter.r=16", "gate.margin=0.01", "night.start=champion", "train.seed=1"):
        assert read_night([word]).settings != usual


def test_words_of_the_night_are_none_of_the_experiment() -> None:
    request = read_night(["adapter.r=16", "night.start=champion", "gate.margin=0.01"])
    assert request.experiment_words == ["adapter.r=16"]


def test_all_keys_of_the_night_are_described_in_conf() -> None:
    for name in ("night", "schedule", "gate"):
        text = next((CONF / name).glob("*.yaml")).read_text(encoding="utf-8")
        assert text.startswith("#")
