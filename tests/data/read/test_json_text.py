"""A JSON text gives its values one by one, and what is broken in it costs only itself."""

import io
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from loraflow.data.read.json_text import parse_json, scan_values
from loraflow.data.records import Fault
from tests.data.sources import on_any_machine

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


class Trickle(io.StringIO):
    """Gives a few characters at a time, so that a value is cut at every place it can be."""

    def __init__(self, text: str, at_once: int) -> None:
        super().__init__(text)
        self._at_once = at_once

    def read(self, size: int | None = -1, /) -> str:
        return super().read(self._at_once)


def scan(text: str) -> list[str | tuple[Fault, str]]:
    return list(scan_values(io.StringIO(text)))


def originals(text: str) -> list[str]:
    """Return what is read, broken or not."""
    return [found if isinstance(found, str) else found[1] for found in scan(text)]


def reasons(text: str) -> list[str]:
    return [found[0].value for found in scan(text) if not isinstance(found, str)]


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1, 10**30])
def test_no_digit_of_a_long_integer_is_lost(number: int) -> None:
    assert parse_json(f'{{"id": {number}}}') == {"id": number}


@given(VALUES)
@on_any_machine
def test_parsing_is_that_of_the_json_module(value: Any) -> None:
    assert parse_json(json.dumps(value)) == json.loads(json.dumps(value))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1, "a": 2}',
        '{"a": 1, "a": 1}',
        '{"outer": [{"a": 1, "b": 2, "a": 3}]}',
        '{"a": 1, "\\u0061": 2}',  # the same key, spelt otherwise
        '{"a": {"b": 1}, "a": {"c": 1}}',
        '{"": 1, "": 2}',
        '{"a": NaN, "a": 2}',
    ],
)
def test_key_that_stands_twice_is_a_fault(text: str) -> None:
    fault = parse_json(text)
    assert isinstance(fault, Fault)
    assert (fault.operator, fault.value) == ("json", "a key stands twice in an object")


@pytest.mark.parametrize(
    "text",
    [
        '{"a": {"a": 1}, "b": {"a": 2}}',
        '[{"a": 1}, {"a": 2}]',
        r'{"a": "\"a\": 1, \"a\": 2", "b": ":::"}',
        r'{"a:b": "\\", "c": ":"}',
        '{"a": "\\ud800:", "b": 1}',
    ],
)
def test_colons_and_keys_elsewhere_are_no_second_key(text: str) -> None:
    assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "no JSON",
        "{'a': 1}",
        '{"a": 1} {"b": 2}',
        '{"a": "\0"}',
        "9" * 5_000,
        "[" * 100_000,
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        "\ufeff{}",
    ],
)
def test_what_is_no_json_is_a_fault_with_a_short_reason(text: str) -> None:
    fault = parse_json(text)
    assert isinstance(fault, Fault)
    assert fault.operator == "json"
    assert len(fault.value) <= 200


def test_what_json_can_spell_and_utf8_cannot_is_left_to_later_checks() -> None:
    assert parse_json(r'{"a": "\ud83d"}') == {"a": "\ud83d"}
    assert parse_json(r'{"a": "\u0000"}') == {"a": "\0"}
    assert parse_json('{"a": NaN}')["a"] != parse_json('{"a": NaN}')["a"]


@given(st.lists(VALUES), st.sampled_from([None, 0, 2]), st.integers(1, 50))
@on_any_machine
def test_list_gives_its_values_however_it_is_written_and_cut(
    values: list[Any], indent: int | None, at_once: int
) -> None:
    for ascii_only in (True, False):
        text = json.dumps(values, indent=indent, ensure_ascii=ascii_only)
        assert [json.loads(str(one)) for one in scan_values(Trickle(text, at_once))] == values


@given(st.lists(st.dictionaries(st.text(), VALUES, max_size=3)), st.integers(1, 50))
@on_any_machine
def test_one_object_to_a_line_gives_the_same(rows: list[Any], at_once: int) -> None:
    text = "\n".join(json.dumps(row) for row in rows)
    assert [json.loads(str(one)) for one in scan_values(Trickle(text, at_once))] == rows


@given(st.text(st.sampled_from('[]{}",:\\ \n01truefalsn'), max_size=60), st.integers(1, 5))
@on_any_machine
def test_any_text_gives_the_same_however_it_is_cut(text: str, at_once: int) -> None:
    assert list(scan_values(Trickle(text, at_once))) == scan(text)


@given(st.text(st.sampled_from('[]{}",:\\ \n01true'), min_size=1))
@on_any_machine
def test_no_part_of_a_text_is_lost(text: str) -> None:
    assume(not text.isspace())
    between = str.maketrans("", "", "[], \n")
    assert "".join(originals(text)).translate(between) == text.translate(between)


BROKEN = [
    '{"a": 1, "b"}',
    '{"a": }',
    "{'a': 1}",
    '{"a": 1, bad, "h": [{"x": 1}, {"x": 2}]}',
    '{"h": [{"x": 1}, {"x": 2} bad]}',
    '{"a": "said "no" twice"}',
    '{"a": "control\tcharacter \0"}',
    '{"a": ' + "9" * 5_000 + "}",
    '{"x":' * 10_000 + "1" + "}" * 10_000,
    "[" * 10_000 + "]" * 10_000,
    '{"a": nul}',
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("between", [", ", ",\n", ",\n  "])
def test_broken_record_in_a_list_costs_only_itself(broken: str, between: str) -> None:
    text = "[" + between.join(['{"n": 1}', broken, '{"n": 2}', '{"n": 3}']) + "]"
    found = originals(text)
    assert [found[0], *found[-2:]] == ['{"n": 1}', '{"n": 2}', '{"n": 3}']
    assert 1 <= len(reasons(text)) <= 2


@pytest.mark.parametrize("broken", [*BROKEN, '{"a": 1', '{"a": "not closed'])
def test_broken_record_on_its_own_line_costs_only_itself(broken: str) -> None:
    found = originals("\n".join(['{"n": 1}', broken, '{"n": 2}', '{"n": 3}']))
    assert [found[0], *found[-2:]] == ['{"n": 1}', '{"n": 2}', '{"n": 3}']


@pytest.mark.parametrize(
    ("text", "found", "reason"),
    [
        ("[", [""], "the list is not closed"),
        ('[{"a": 1}', ['{"a": 1}', ""], "the list is not closed"),
        ('[{"a": 1},', ['{"a": 1}', ""], "the list is not closed"),
        ('[{"a": 1}, {"a": "cut o', ['{"a": 1}', '{"a": "cut o'], "Unterminated string"),
        ('[{"a": 1}] end', ['{"a": 1}', "end"], "text after the list"),
        ('[{"a": 1}]]', ['{"a": 1}', "]"], "text after the list"),
        ('[{"a": 1}] end, {"a": 2}, {"a": 3}', ['{"a": 1}', "end, {"], "text after the list"),
        ("[" * 10_000, ["[" * 9_999], "nested too deeply"),
        ("]", ["]"], "Expecting value"),
    ],
)
def test_damaged_list_says_once_what_is_wrong(text: str, found: list[str], reason: str) -> None:
    shown = [one[: len(want)] for one, want in zip(originals(text), found, strict=False)]
    assert shown == found
    assert len(reasons(text)) == 1
    assert reasons(text)[0].startswith(reason)


@pytest.mark.parametrize(
    "text",
    ['[{"a": 1}]\n[{"a": 2}]', '[{"a": 1},]\ufeff[{"a": 2}]\n', ' [ {"a": 1} {"a": 2} ] '],
)
def test_joined_lists_and_loose_commas_are_read(text: str) -> None:
    assert scan(text) == ['{"a": 1}', '{"a": 2}']


@pytest.mark.parametrize("text", ["", " \n", "[]", "[ ]"])
def test_nothing_gives_nothing(text: str) -> None:
    assert scan(text) == []


def test_reason_counts_from_the_record_not_from_the_file() -> None:
    first = json.dumps({"a": "x" * 2**20})
    assert reasons(f'[{first}, {first}, {{"a": no}}]') == ["Expecting value (character 7)"]


def test_record_that_is_too_long_is_set_aside_with_its_head(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("loraflow.data.read.json_text.LONGEST_RECORD", 2**20)
    monkeypatch.setattr("loraflow.data.read.json_text.HEAD_KEPT", 10)
    text = json.dumps([{"a": 1}, {"a": "x" * 2**23}, {"a": 2}, {"a": 3}])
    assert originals(text) == ['{"a": 1}', '{"a": "xxx', '{"a": 2}', '{"a": 3}']
