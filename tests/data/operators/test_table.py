"""The list of operators is checked key by key before any row is read."""

from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flows.command import CONF
from loraflow.data.operators.sets import ConflictingAnswers, ExactDuplicates, NearDuplicates
from loraflow.data.operators.table import (
    ROW_OPERATORS,
    SET_OPERATORS,
    build_row_operators,
    build_set_operators,
    operator_faults,
    operator_versions,
)
from loraflow.data.operators.text import Unicode, Whitespace
from loraflow.data.records import Record
from loraflow.errors import UserError
from tests.data.operators import row

FILES = sorted(path.stem for path in (CONF / "data" / "clean").glob("*.yaml"))


def composed(name: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = compose("config", ["data=file", f"data/clean={name}", *overrides])
    clean = OmegaConf.to_container(config.data.clean)
    assert isinstance(clean, dict)
    return {str(key): value for key, value in clean.items()}


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_free_of_faults(name: str) -> None:
    assert operator_faults(composed(name)) == []


def test_default_file_names_every_operator_in_the_recommended_order() -> None:
    assert list(composed("default")) == [*ROW_OPERATORS, *SET_OPERATORS]


def test_operator_is_switched_on_and_off_from_the_command_line() -> None:
    clean = composed("default", "data.clean.pii={kinds: [email]}", "data.clean.boilerplate=null")
    names = [name for name, _ in build_row_operators(clean)]
    assert names.index("pii") == names.index("whitespace") + 1
    assert "boilerplate" not in names


def test_operators_are_built_in_the_order_of_the_list() -> None:
    clean: dict[str, Any] = {
        "whitespace": {},
        "roles": None,
        "unicode": {},
        "near_duplicates": {"threshold": 1, "ngram": 5},
        "exact_duplicates": {},
        "conflicting_answers": {"max_answers": 2},
    }
    assert build_row_operators(clean) == [("whitespace", Whitespace()), ("unicode", Unicode())]
    assert build_set_operators(clean) == [
        ("near_duplicates", NearDuplicates(1, 5)),
        ("exact_duplicates", ExactDuplicates()),
        ("conflicting_answers", ConflictingAnswers(2)),
    ]
    others = dict.fromkeys(set(clean) - {"roles"}, 1)
    assert operator_versions(clean) == others | {"near_duplicates": NearDuplicates.version}


def test_operators_of_the_default_file_run() -> None:
    record = row("It is 42.\r\n", "What is the answer?")
    for _, operator in build_row_operators(composed("web")):
        cleaned = operator(record)
        assert isinstance(cleaned, Record)
        record = cleaned
    assert record.answer == "It is 42."


LENGTH = {"answer_characters": [1, 9], "prompt_characters": [0, 9]}


@pytest.mark.parametrize(
    ("clean", "message"),
    [
        ({"unicod": {}}, r"^data.clean.unicod is no operator \(did you mean unicode\?\); choose"),
        ({"xyz": None}, r"^data.clean.xyz is no operator; choose from roles, "),
        ({"unicode": {"form": "NFC"}}, r"^data.clean.unicode.form is no parameter .* it has none"),
        (
            {"length": LENGTH | {"promt_characters": [0, 1]}},
            r"^data.clean.length.promt_characters is no parameter of length "
            r"\(did you mean prompt_characters\?\)",
        ),
        (
            {"length": {"answer_characters": [1, 9]}},
            "^data.clean.length.prompt_characters has no value; set data.clean.length.prompt_ch",
        ),
        (
            {"length": LENGTH | {"answer_characters": [9, 1]}},
            r"^data.clean.length.answer_characters=\[9, 1\] keeps no row",
        ),
        ({"length": LENGTH | {"answer_characters": [1]}}, r"=\[1\] has too few values; set data."),
        (
            {"length": LENGTH | {"answer_characters": [1, 2, 3]}},
            r"\] has too many values; set data",
        ),
        ({"length": LENGTH | {"answer_characters": [1, True]}}, r"\[1, True\]: True must be a wh"),
        ({"length": LENGTH | {"answer_characters": [-1, 2]}}, r"\[-1, 2\]: -1 must be at least 0"),
        ({"length": 5}, r"^data.clean.length=5 must be a mapping .* set data.clean.length=\{\} or"),
        (
            {"pii": {"kinds": ["mail"]}},
            "^data.clean.pii.kinds=.*'mail' is unknown; choose from 'em",
        ),
        ({"pii": {"kinds": []}}, r"^data.clean.pii.kinds=\[\] has too few values"),
        ({"urls": {"replacement": "x" * 50}}, "^data.clean.urls.replacement=.* at most 40 charact"),
        (
            {"language": {"keep": ["cn"], "min_confidence": 0.5, "min_characters": 1}},
            r"^data.clean.language.keep=\['cn'\] names 'cn', which is no language",
        ),
        ({"flagged_words": {"words": ["!"]}}, r"^data.clean.flagged_words.words=.*'!', in which"),
        (
            {"character_repetition": {"ngram": 10, "max_share": 1.5}},
            "^data.clean.character_repetition.max_share=1.5 must be below 1.0; set data.clean.char",
        ),
        (
            {"near_duplicates": {"threshold": 0, "ngram": 5}},
            "^data.clean.near_duplicates.threshold=0 must be at least 0.7",
        ),
        (
            {"exact_duplicates": {}, "unicode": {}},
            "^data.clean.unicode stands behind exact_duplicates but runs before.*move unicode up",
        ),
    ],
)
def test_fault_names_key_value_and_fix(clean: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_row_operators(clean)
    assert len(operator_faults(clean)) == 1


def test_all_faults_are_reported_at_once() -> None:
    clean: dict[str, Any] = {
        "unicod": {},
        "length": {"answer_characters": [9, 1]},
        "pii": {"kinds": 3},
    }
    assert len(operator_faults(clean)) == 4
    with pytest.raises(UserError, match=r"unicod[\s\S]*answer_ch[\s\S]*prompt_ch[\s\S]*pii\.kinds"):
        build_set_operators(clean)


def test_operator_left_out_may_stand_anywhere() -> None:
    assert operator_faults({"exact_duplicates": None, "unicode": {}, "near_duplicates": None}) == []
