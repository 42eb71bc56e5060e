"""Better and worse answers are found wherever they stand, with the prompt that they share."""

from typing import Any

import pytest

from loraflow.data.read.fields import Unfit
from loraflow.data.read.preferences import from_kto, from_preference
from loraflow.data.records import Message, Record

ASKED: Message = {"role": "user", "content": "天空是什么颜色？"}
BLUE: Message = {"role": "assistant", "content": "蓝色。"}
GREEN: Message = {"role": "assistant", "content": "绿色。"}
SYSTEM: Message = {"role": "system", "content": "只说一句。"}
EARLIER: tuple[Message, ...] = (
    {"role": "user", "content": "早"},
    {"role": "assistant", "content": "早安"},
)
HUMAN = {"from": "human", "value": "天空是什么颜色？"}
TEXTS = {"chosen": "蓝色。", "rejected": "绿色。"}
TRANSCRIPT = "\n\nHuman: 早\n\nAssistant: 早安\n\nHuman: 天空是什么颜色？\n\nAssistant:"
LISTS = {"chosen": [ASKED, BLUE], "rejected": [ASKED, GREEN]}


@pytest.mark.parametrize(
    ("row", "before"),
    [
        ({"prompt": ASKED["content"], **TEXTS}, ()),
        ({"instruction": ASKED["content"], "input": "", **TEXTS}, ()),
        ({"question": ASKED["content"], **TEXTS}, ()),
        ({"question": ASKED["content"], "system": "只说一句。", **TEXTS}, (SYSTEM,)),
        ({"instruction": ASKED["content"], "history": [["早", "早安"]], **TEXTS}, EARLIER),
        (
            {
                "conversations": [HUMAN],
                "chosen": {"from": "gpt", "value": "蓝色。"},
                "rejected": {"from": "gpt", "value": "绿色。"},
            },
            (),
        ),
        ({"conversations": [HUMAN], "system": "只说一句。", **TEXTS}, (SYSTEM,)),
        ({"messages": [*EARLIER, ASKED], **TEXTS}, EARLIER),
        ({"prompt": [SYSTEM, ASKED], "chosen": [BLUE], "rejected": [GREEN]}, (SYSTEM,)),
        (LISTS, ()),
        ({"chosen": [*EARLIER, ASKED, BLUE], "rejected": [*EARLIER, ASKED, GREEN]}, EARLIER),
        ({"prompt": f" {ASKED['content']}", "messages": [ASKED, BLUE], **LISTS}, ()),
        ({"prompt": [SYSTEM, ASKED], **LISTS}, (SYSTEM,)),
        (
            {
                "prompt": ASKED["content"],
                "chosen": [SYSTEM, ASKED, BLUE],
                "rejected": [SYSTEM, ASKED, GREEN],
            },
            (SYSTEM,),
        ),
        (
            {
                "chosen": f"{TRANSCRIPT} 蓝色。",
                "rejected": f"{TRANSCRIPT} 绿色。",
            },
            EARLIER,
        ),
        (
            {"prompt": TRANSCRIPT, **TEXTS},
            EARLIER,
        ),
    ],
)
def test_pair_is_prompt_chosen_and_rejected(
    row: dict[str, Any], before: tuple[Message, ...]
) -> None:
    record = from_preference(row)
    assert record == Record((*before, ASKED, BLUE), "preference", rejected="绿色。")


@pytest.mark.parametrize(
    ("row", "needed"),
    [
        ({"prompt": "q", "chosen": "a"}, "text or messages in rejected"),
        ({"prompt": "q", "chosen": None, "rejected": "b"}, "text or messages in chosen"),
        ({"prompt": "q", "chosen": 1, "rejected": 2}, "text or messages in chosen"),
        ({"prompt": "q", "chosen": ["a"], "rejected": ["b"]}, "a list of messages"),
        ({"chosen": "The sky is blue.", "rejected": "The sky is green."}, "a prompt"),
        ({"chosen": [BLUE], "rejected": [GREEN]}, "a prompt"),
        ({"chosen": [ASKED, BLUE], "rejected": [*EARLIER, ASKED, GREEN]}, "last message alone"),
        ({"chosen": [ASKED, BLUE], "rejected": [ASKED, GREEN, ASKED]}, "last message alone"),
        ({"chosen": [ASKED], "rejected": [ASKED]}, "a prompt"),
        ({"prompt": "q", "chosen": [ASKED, ASKED], "rejected": [ASKED, ASKED]}, "an answer of"),
    ],
)
def test_pair_that_is_none_says_what_is_needed(row: dict[str, Any], needed: str) -> None:
    with pytest.raises(Unfit, match=needed):
        from_preference(row)


def test_prompt_that_the_answers_do_not_repeat_is_kept() -> None:
    record = from_preference({"prompt": "另一个问题", **LISTS})
    assert [message["role"] for message in record.messages] == ["user", "user", "assistant"]


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASKED["content"], "completion": "蓝色。"},
        {"prompt": [ASKED], "completion": [BLUE]},
        {"instruction": ASKED["content"], "input": "", "output": "蓝色。"},
        {"messages": [ASKED, BLUE]},
        {"conversations": [HUMAN, {"from": "gpt", "value": "蓝色。"}]},
        {"question": ASKED["content"], "answer": "蓝色。"},
    ],
)
@pytest.mark.parametrize(
    ("verdict", "label"),
    [
        ({"label": True}, "true"),
        ({"label": False}, "false"),
        ({"label": " False"}, "false"),
        ({"kto_tag": True, "label": "weather"}, "true"),
    ],
)
def test_single_answer_is_judged(row: dict[str, Any], verdict: dict[str, Any], label: str) -> None:
    assert from_kto({**row, **verdict}) == Record((ASKED, BLUE), "kto", label=label)


@pytest.mark.parametrize("label", [None, 1, 0, 0.0, "good", [], {}])
def test_verdict_is_a_truth_value(label: Any) -> None:
    with pytest.raises(Unfit, match="true or false"):
        from_kto({"prompt": "q", "completion": "a", "label": label})


def test_judged_row_needs_an_answer() -> None:
    with pytest.raises(Unfit, match="a question and an answer"):
        from_kto({"prompt": "q", "label": True})
