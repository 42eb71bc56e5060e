"""Every fault of a config is found at once, and named by its key, its value and the fix."""

import math
import re
from copy import deepcopy
from typing import Any

import pytest

from loraflow.check import dump_config, flatten, known_keys, load_config
from loraflow.errors import UserError, nearest
from tests.conftest import composed

Settings = dict[str, Any]
SECTIONS = {key.rpartition(".")[0] for key in known_keys() if "." in key} | {"data.clean"}
LEAVES = [key for key in known_keys() if key not in SECTIONS]
FLOATS = [
    "adapter.dropout",
    "train.learning_rate",
    "train.max_grad_norm",
    "train.num_train_epochs",
    "train.weight_decay",
]


@pytest.fixture(scope="module")
def settings() -> Settings:
    judged = ["evaluate=mt_bench", "judge=openai", "judge.api.model=name"]
    return dump_config(composed("train.early_stopping={rows: 5, steps: 2, patience: 2}", *judged))


@pytest.fixture(scope="module")
def complete(settings: Settings) -> Settings:
    """Settings with every section filled, also those that do not go together."""
    return {**settings, "judge": {**settings["judge"], "model": deepcopy(settings["model"])}}


def changed(settings: Settings, changes: Settings) -> Settings:
    """Return a copy of `settings` with these dotted keys set."""
    copy = deepcopy(settings)
    for key, value in changes.items():
        *sections, name = key.split(".")
        place = copy
        for section in sections:
            place = place[section]
        place[name] = value
    return copy


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        ("adapter.rank", "adapter.r"),
        ("adapter.aplha", "adapter.alpha"),
        ("train.learning_rte", "train.learning_rate"),
        ("adaptor", "adapter"),
    ],
)
def test_misspelt_key_names_the_nearest(settings: Settings, wrong: str, right: str) -> None:
    with pytest.raises(UserError, match=rf"{wrong} is not a key.*did you mean {right}\?"):
        load_config(changed(settings, {wrong: 1}))


def test_key_like_no_other_suggests_nothing(settings: Settings) -> None:
    with pytest.raises(UserError, match=r"^zzzzzz is not a key of the config$"):
        load_config(changed(settings, {"zzzzzz": 1}))


def test_unknown_choice_names_the_nearest_and_all(settings: Settings) -> None:
    match = r"quantization\.method='nf5' is unknown.*mean nf4.*choose from none, int8, nf4"
    with pytest.raises(UserError, match=match):
        load_config(changed(settings, {"quantization.method": "nf5"}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("adapter.r", 0),
        ("adapter.r", -8),
        ("adapter.r", 1.5),
        ("adapter.r", "eight"),
        ("adapter.dropout", 1.0),
        ("adapter.target_modules", []),
        ("adapter.target_modules", ""),
        ("data.split.held_out_rows", 0),
        ("model.sha256", "abc"),
        ("store", ""),
        ("store", "~no-such-user/store"),
        ("train.learning_rate", 0),
        ("train.seed", -1),
        ("train.seed", 2**32),
        ("train.warmup_steps", -1),
    ],
)
def test_value_out_of_limits_is_named(settings: Settings, key: str, value: object) -> None:
    with pytest.raises(UserError, match="^" + re.escape(f"{key}={value!r}")):
        load_config(changed(settings, {key: value}))


@pytest.mark.parametrize("key", FLOATS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_number_must_be_finite(settings: Settings, key: str, value: float) -> None:
    with pytest.raises(UserError, match=f"^{key}="):
        load_config(changed(settings, {key: value}))


@pytest.mark.parametrize("key", LEAVES)
def test_section_in_place_of_a_value_is_named(complete: Settings, key: str) -> None:
    with pytest.raises(UserError, match=f"^{key}[=. ]"):
        load_config(changed(complete, {key: {"not": "a value"}}))


def test_missing_value_is_named(settings: Settings) -> None:
    without = deepcopy(settings)
    del without["adapter"]["r"]
    with pytest.raises(UserError, match=r"^adapter\.r has no value; set adapter\.r=VALUE$"):
        load_config(without)


def test_all_faults_are_reported_at_once(settings: Settings) -> None:
    wrong = {"adapter.r": 0, "quantization.method": "int3", "train.lr": 1, "train.optim": 5}
    with pytest.raises(UserError, match="the config has 4 faults") as raised:
        load_config(changed(settings, wrong))
    assert all(f"\n  {key}" in str(raised.value) for key in wrong)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"data.clean.length.answer_characters": [300, 20]},
            r"^data\.clean\.length\.answer_characters=\[300, ?20\]",
        ),
        ({"data.clean.unicod": {}}, r"^data\.clean\.unicod .*did you mean .*unicode"),
        ({"data.columns": {"anser": "A"}}, r"^data\.columns='anser' .*did you mean answer"),
        ({"data.path": "rows.json"}, r"^data\.path=.*rows\.json.*data\.layout='pydoc'"),
        (
            {"data.layout": "alpaca", "data.instruction": None},
            r"^data\.path=null .*data\.layout='alpaca'",
        ),
        ({"data.weights": [1, 2]}, r"^data\.weights=.* 2 numbers for 0 paths"),
        (
            {"data.split.held_out_path": "a.json", "data.split.stratify_by": "label"},
            r"^data\.split\.stratify_by=label .*held_out_path",
        ),
        ({"data.train_rows": 10}, r"^data\.train_rows=10 .*data\.min_train_rows=50"),
        ({"model.file": None}, r"^model\.file .*model\.source='pypi'"),
        ({"model.location": "Qwen/Qwen3-0.6B"}, r"^model\.location=Qwen/.*model=hub"),
        ({"model.revision": "main"}, r"^model\.revision=main .*model\.source='hub'"),
        ({"data.instruction": None}, r"^data\.instruction=None .*data\.layout='pydoc'"),
        ({"template.chat_template": "{% for %}"}, r"^template\.chat_template .* no Jinja"),
        ({"tracking.uri": "postgresql://me:secret@host/db"}, r"^tracking\.uri holds a password"),
    ],
)
def test_contradiction_names_both_keys(settings: Settings, changes: Settings, match: str) -> None:
    with pytest.raises(UserError, match=match):
        load_config(changed(settings, changes))


def test_all_contradictions_are_reported_at_once(settings: Settings) -> None:
    wrong = {"data.path": "rows.json", "data.train_rows": 10, "model.file": None}
    with pytest.raises(UserError, match="the config has 3 faults") as raised:
        load_config(changed(settings, wrong))
    assert all(f"\n  {key}" in str(raised.value) for key in wrong)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["quantization=none"],
        ["experiment=medical_qa"],
        ["data=alpaca", "data.path='行.json'", "adapter.target_modules=all"],
    ],
)
def test_dumped_config_loads_as_it_was(overrides: list[str]) -> None:
    config = composed(*overrides)
    assert load_config(dump_config(config)) == config


def test_flattened_config_has_every_known_key(complete: Settings) -> None:
    flat = [key for key in flatten(complete) if not key.startswith("data.clean.")]
    assert sorted(flat) == sorted(LEAVES)


def test_flatten_joins_names_with_dots() -> None:
    assert flatten({"a": {"b": {"c": 1}}, "d": [2]}) == {"a.b.c": 1, "d": [2]}


def test_nearest_finds_a_key_by_its_last_part() -> None:
    assert nearest("learning_rate", ["train.learning_rate", "train.seed"]) == (
        " (did you mean train.learning_rate?)"
    )


CHAIN = "experiment=cpt_then_sft_then_dpo"


@pytest.mark.parametrize(
    ("override", "match"),
    [
        ("before.cpt.data.path=a.json", r"^before\.cpt\.data\.path=.*before\.cpt\.data\.layout="),
        ("before.sft.train.learning_rate=0", r"^before\.sft\.train\.learning_rate=0 must be above"),
        ("before.sft.data.layout=alpca", r"^before\.sft\.data\.layout='alpca' .*mean alpaca"),
        ("+before.cpt.data.pth=1", r"^before\.cpt\.data\.pth .*mean before\.cpt\.data\.path\?"),
        ("before.sft.train.truncation=windows", r"^before\.sft\.train\.truncation='windows' "),
        ("before.sft.data.clean.cut_off.min_characters=-1", r"^before\.sft\.data\.clean\.cut_off"),
    ],
)
def test_fault_of_an_earlier_training_names_where_it_stands(override: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        composed(CHAIN, override)


def test_earlier_and_last_training_are_judged_apart() -> None:
    with pytest.raises(UserError, match="the config has 2 faults") as raised:
        composed(CHAIN, "before.sft.data.train_rows=10", "data.train_rows=20")
    assert "\n  data.train_rows=20 is below data.min_train_rows=50" in str(raised.value)
    assert "\n  before.sft.data.train_rows=10 is below before.sft.data.min" in str(raised.value)


@pytest.mark.parametrize("task", ["sft", "preference", "classify"])
def test_windows_are_for_raw_text(settings: Settings, task: str) -> None:
    with pytest.raises(UserError, match=r"^train\.truncation='windows' .*train\.task="):
        wrong = {"train.truncation": "windows", "train.task": task, "evaluate.mt_bench": None}
        load_config(changed(settings, wrong))


@pytest.mark.parametrize(
    ("overrides", "match"),
    [
        (["judge=local", "judge.kind=openai"], r"^judge\.kind='openai' .*judge\.api"),
        (["judge=local_other", "judge.model.location=a/b", "judge.kind=none"], r"^judge\.model is"),
        (
            ["judge=local_other", "judge.model.location=a/b", "judge.model.file=c"],
            r"^judge\.model\.",
        ),
        (["train=text", "data=pydoc_topics", "evaluate=mt_bench"], r"^evaluate\.mt_bench asks"),
        (["train=classify", "evaluate.prompts=a.txt"], r"^evaluate\.prompts asks"),
    ],
)
def test_what_is_not_judged_together_is_named(overrides: list[str], match: str) -> None:
    with pytest.raises(UserError, match=match):
        composed(*overrides)
