"""Every layout is detected as itself, and no row, however odd, stops the reading."""

from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraflow.config import DataConfig
from loraflow.data.read.built_in import BUILT_IN
from loraflow.data.read.layouts import LAYOUTS, convert, describe_layouts, detect_layout
from loraflow.data.records import Fault, Record

HUMAN = {"from": "human", "value": "北京天气怎么样？"}
GPT = {"from": "gpt", "value": "晴，25 度。"}
USER = {"role": "user", "content": "What color is the sky?"}
ASSISTANT = {"role": "assistant", "content": "It is blue."}
GREEN = {"role": "assistant", "content": "It is green."}

EXAMPLES: list[tuple[str, dict[str, Any]]] = [
    ("alpaca", {"instruction": "Add", "input": "1 and 2", "output": "3"}),
    ("alpaca", {"instruction": "Add", "input": "", "output": "3", "text": "Below is an ..."}),
    ("alpaca", {"instruction": "你是谁？", "output": "甄嬛", "system": None, "history": None}),
    ("alpaca", {"instruction": "When?", "context": "In 1898.", "response": "1898"}),
    ("alpaca", {"input": "2 + 2", "output": "4"}),
    ("sharegpt", {"id": "x1", "conversations": [HUMAN, GPT]}),
    ("sharegpt", {"conversations": [USER, ASSISTANT]}),
    ("sharegpt", {"system": "", "conversation": [{"human": "你好", "assistant": "您好"}]}),
    ("messages", {"prompt": "What color is the sky?", "messages": [USER, ASSISTANT]}),
    ("messages", {"messages": [USER, ASSISTANT], "label": "weather"}),
    ("prompt_completion", {"prompt": "The sky is", "completion": " blue."}),
    ("prompt_completion", {"prompt": [USER], "completion": [ASSISTANT]}),
    ("question_answer", {"question": "2 + 2?", "answer": "#### 4"}),
    ("question_answer", {"question": "Why?", "context": "Because.", "response": "Because."}),
    ("question_answer", {"query": "你好", "response": "您好", "history": [["早", "早安"]]}),
    ("openorca", {"id": "n", "system_prompt": "", "question": "Why?", "response": "So."}),
    ("firefly", {"kind": "Couplet", "input": "上联：春风", "target": "下联：夏雨"}),
    ("text", {"text": "红楼梦", "url": "https://example.org", "meta": {"n": 1}}),
    ("classify", {"text": "好吃", "label": 1}),
    ("classify", {"text": "good", "label": "positive"}),
    ("classify", {"text": "good", "label": True}),
    ("preference", {"prompt": "q", "chosen": "a", "rejected": "b"}),
    ("preference", {"instruction": "q", "input": "", "chosen": "a", "rejected": "b"}),
    ("preference", {"system": "", "question": "q", "chosen": "a", "rejected": "b"}),
    ("preference", {"conversations": [HUMAN], "chosen": GPT, "rejected": {**GPT, "value": "雨"}}),
    ("preference", {"chosen": [USER, ASSISTANT], "rejected": [USER, GREEN]}),
    (
        "preference",
        {
            "prompt": USER["content"],
            "messages": [USER, ASSISTANT],
            "chosen": [USER, ASSISTANT],
            "rejected": [USER, GREEN],
            "score_chosen": 9.0,
        },
    ),
    ("kto", {"prompt": "q", "completion": "a", "label": False}),
    ("kto", {"messages": [USER, ASSISTANT], "label": True}),
    ("kto", {"instruction": "q", "input": "", "output": "a", "kto_tag": True}),
    (
        "choice",
        {
            "question": "首选？",
            "options": {"A": "青霉素", "B": "头孢"},
            "answer": "头孢",
            "answer_idx": "B",
        },
    ),
    ("choice", {"question": "1 + 1?", "choices": ["1", "2"], "answer": 1, "subject": "math"}),
    (
        "records",
        {
            **{
                "id": "0",
                "source": "a.json",
                "line": 1,
                "kind": "chat",
                "messages": [USER, ASSISTANT],
            },
            **dict.fromkeys(("rejected", "label", "choices")),
        },
    ),
]


@pytest.mark.parametrize(("layout", "item"), EXAMPLES)
def test_layout_is_detected_and_converts(layout: str, item: dict[str, Any]) -> None:
    assert detect_layout([item], {}) == layout
    assert isinstance(convert(item, layout, columns={}, learn_all=True), Record)


def test_layouts_are_those_of_the_config() -> None:
    known = get_args(DataConfig.__annotations__["layout"])
    assert {*LAYOUTS, *BUILT_IN, "auto"} == set(known)


def test_layout_of_most_rows_wins() -> None:
    pair = {"prompt": "q", "chosen": "a", "rejected": "b"}
    alpaca = {"instruction": "q", "output": "a"}
    assert detect_layout([pair, pair, alpaca, None, "x", 3], {}) == "preference"
    assert detect_layout([pair, alpaca, alpaca], {}) == "alpaca"


def test_no_layout_is_found_where_none_fits() -> None:
    assert detect_layout([{"标题": "x"}, {"conversations": "你好"}, {"text": 3}, []], {}) is None
    assert detect_layout([], {}) is None


def test_shape_decides_not_names_alone() -> None:
    row = {"conversations": "no list", "instruction": "q", "output": "a"}
    assert detect_layout([row], {}) == "alpaca"


def test_columns_of_any_name_are_read_and_detected() -> None:
    row = {"问题": "头痛怎么办？", "答案": "多休息。", "output": "not this"}
    columns = {"instruction": "问题", "output": "答案"}
    assert detect_layout([row], columns) == "alpaca"
    record = convert(row, "alpaca", columns=columns, learn_all=True)
    assert isinstance(record, Record)
    assert [part["content"] for part in record.messages] == ["头痛怎么办？", "多休息。"]


def test_columns_can_trade_names() -> None:
    row = {"instruction": "a", "output": "q"}
    columns = {"instruction": "output", "output": "instruction"}
    record = convert(row, "alpaca", columns=columns, learn_all=True)
    assert isinstance(record, Record)
    assert (record.prompt[0]["content"], record.answer) == ("q", "a")


def test_renamed_column_no_longer_has_its_old_name() -> None:
    columns = {"question": "instruction", "answer": "output"}
    assert detect_layout([{"instruction": "q", "output": "a"}], columns) == "question_answer"
    fault = convert({"output": "a"}, "alpaca", columns={"output": "答案"}, learn_all=True)
    assert isinstance(fault, Fault)


@pytest.mark.parametrize("learn_all", [True, False])
def test_last_answer_is_always_learned_and_earlier_ones_by_choice(learn_all: bool) -> None:
    row = {"instruction": "q", "output": "a", "history": [["早", "早安"], ["冷吗", "不冷"]]}
    record = convert(row, "alpaca", columns={}, learn_all=learn_all)
    assert isinstance(record, Record)
    learned = [part.get("learn", True) for part in record.messages if part["role"] == "assistant"]
    assert learned == [learn_all, learn_all, True]


def test_last_answer_is_the_last_of_the_assistant() -> None:
    row = {"conversations": [HUMAN, GPT, HUMAN]}
    record = convert(row, "sharegpt", columns={}, learn_all=False)
    assert isinstance(record, Record)
    assert [part.get("learn") for part in record.messages] == [None, None, None]


@pytest.mark.parametrize("item", [None, True, 3, 2.5, "text", ["text"]])
def test_row_that_is_no_object_is_a_fault_of_its_type(item: Any) -> None:
    fault = convert(item, "alpaca", columns={}, learn_all=True)
    assert fault == Fault(type(item).__name__, "an object", operator="schema")


def test_fault_names_the_columns_and_what_is_needed() -> None:
    fault = convert({"问": [[["deep"]]], "b": 1}, "alpaca", columns={}, learn_all=True)
    assert fault == Fault(["b", "问"], "text in output or response", operator="schema")


def test_fault_of_a_wide_row_names_twenty_columns() -> None:
    fault = convert({f"c{n:03}": n for n in range(500)}, "text", columns={}, learn_all=True)
    assert isinstance(fault, Fault)
    assert fault.value == [f"c{n:03}" for n in range(20)]


HALF = "\ud83d"


@pytest.mark.parametrize(
    ("layout", "item"),
    [
        ("alpaca", {"instruction": "q", "output": HALF}),
        ("alpaca", {"instruction": "q", "output": "a", "history": [[HALF, "a"]]}),
        ("sharegpt", {"conversations": [HUMAN, GPT], "system": f"你{HALF}"}),
        ("sharegpt", {"conversations": [HUMAN, GPT], "tools": [{"name": HALF}]}),
        ("preference", {"prompt": "q", "chosen": "a", "rejected": HALF}),
        ("classify", {"text": "q", "label": HALF}),
        ("choice", {"question": "q", "options": ["a", HALF], "answer": "a"}),
        ("text", {"text": HALF}),
    ],
)
def test_half_a_surrogate_pair_is_named(layout: str, item: dict[str, Any]) -> None:
    fault = convert(item, layout, columns={}, learn_all=True)
    assert fault == Fault("half a surrogate pair", "valid Unicode", operator="unicode_text")
    assert detect_layout([item], {}) == layout


def test_whole_emoji_is_no_half() -> None:
    record = convert({"text": "👩‍👩‍👧 好"}, "text", columns={}, learn_all=True)
    assert isinstance(record, Record)


def test_every_layout_is_described_on_a_line() -> None:
    lines = describe_layouts().split("\n")
    assert [line.split(":")[0] for line in lines] == list(LAYOUTS)
    assert "alpaca: instruction, output" in describe_layouts()


def nested(levels: int) -> Any:
    value: Any = "x"
    for level in range(levels):
        value = [value] if level % 2 else {"arguments": value}
    return value


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "column", ["instruction", "messages", "tools", "options", "chosen", "label"]
)
def test_endless_nesting_is_a_fault_not_a_crash(layout: str, column: str) -> None:
    row = dict(EXAMPLES[[name for name, _ in EXAMPLES].index(layout)][1])
    result = convert({**row, column: nested(100_001)}, layout, columns={}, learn_all=True)
    assert isinstance(result, Record | Fault)


NAMES = [
    *("instruction", "input", "output", "response", "context", "system", "history", "tools"),
    *("conversations", "conversation", "messages", "from", "value", "role", "content"),
    *("human", "assistant", "tool_calls", "function", "name", "arguments", "weight", "train"),
    *("prompt", "completion", "question", "query", "answer", "system_prompt", "target"),
    *("text", "label", "kto_tag", "chosen", "rejected", "options", "choices", "answer_idx"),
    *("A", "B", "type", "key"),
]
WORDS = ["user", "gpt", "human", "system", "tool", "text", "Human: q\nAssistant:", "A", "B. x", "0"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(st.characters(), max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6)
    ),
    max_leaves=25,
)
TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(WORDS) | VALUES, "content": VALUES}), max_size=4
)


def rows(layout: str) -> st.SearchStrategy[Any]:
    """Anything at all, and good rows with odd columns."""
    good = [item for name, item in EXAMPLES if name == layout]
    odd = st.dictionaries(st.sampled_from(NAMES), VALUES | TURNS, max_size=3)
    return VALUES | st.builds(lambda item, columns: item | columns, st.sampled_from(good), odd)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), learn_all=st.booleans())
def test_any_row_is_a_sound_record_or_a_fault(
    layout: str, data: st.DataObject, learn_all: bool
) -> None:
    result = convert(data.draw(rows(layout)), layout, columns={}, learn_all=learn_all)
    if isinstance(result, Fault):
        assert result.operator in {"schema", "unicode_text"}
        return
    assert result.messages
    assert result.id
    for message in result.messages:
        assert isinstance(message["content"], str)
        assert message["role"] in {"system", "user", "assistant", "tool"}
