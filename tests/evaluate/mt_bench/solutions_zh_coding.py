"""Run the functions that the Chinese questions on coding (2041-2050) ask for."""

import random
from collections.abc import Callable
from typing import Any

import pytest

Check = Callable[[dict[str, Any]], None]


def _count_han(space: dict[str, Any]) -> None:
    count = space["count_han"]
    assert count("") == 0
    assert count("我有3本书，还有2支pen。") == 7
    assert count("㐀䶿一鿿") == 4
    assert count("かなカナ한글。《》\u3007") == 0
    assert count("\u33ff\u4dc0\u4dff\ua000") == 0
    assert count("好好好\n") == 3


def _top_han(space: dict[str, Any]) -> None:
    _count_han(space)
    top = space["top_han"]
    assert top("山外青山楼外楼，Wow!", 2) == [("山", 2), ("外", 2)]
    assert top("山外青山楼外楼", 4) == [("山", 2), ("外", 2), ("楼", 2), ("青", 1)]
    assert top("天地地", 9) == [("地", 2), ("天", 1)]
    assert top("天地", 0) == top("天地", -1) == top("abc。", 3) == []


_WIDE = "".join(map(chr, range(0xFF01, 0xFF5F)))


def _to_half(space: dict[str, Any]) -> None:
    half = space["to_half"]
    assert half(_WIDE) == "".join(map(chr, range(0x21, 0x7F)))
    assert half("\uff21\uff22\u3000\uff11。、《中》\uff5e") == "AB 1。、《中》~"
    assert half("") == ""
    assert half("plain 中文") == "plain 中文"
    assert half("\uff00\uff5f") == "\uff00\uff5f"


def _to_half_but(space: dict[str, Any]) -> None:
    half, changed = space["to_half"], space["count_changed"]
    _to_half({"to_half": lambda text: half(text, keep="")})
    assert half("\uff11\uff0b\uff11，对吗？（对）\u3000") == "1+1，对吗？（对） "
    assert half("\uff11，\uff12", keep="\uff11") == "\uff11,2"
    assert half("，\u3000", "\u3000") == ",\u3000"
    assert changed("\uff11，\uff12\u3000好") == 3
    assert changed("\uff11，\uff12\u3000好", keep="") == 4
    assert changed("") == 0


def _in_chinese(n: int) -> str:
    """Write 0 to 9999 in Chinese by rewriting the digits."""
    places = zip(f"{n:04}", "千百十个", strict=True)
    text = "".join(
        "零一二三四五六七八九"[int(d)] + (unit if d != "0" else "") for d, unit in places
    )
    text = text.replace("个", "")
    while "零零" in text:
        text = text.replace("零零", "零")
    text = text.strip("零").removeprefix("一") if 10 <= n < 20 else text.strip("零")
    return text or "零"


def _parse_small(space: dict[str, Any]) -> None:
    parse = space["parse_cn"]
    for text, value in {"三千零五十": 3050, "一百零五": 105, "十二": 12, "二百一十": 210}.items():
        assert _in_chinese(value) == text
    assert [parse(_in_chinese(n)) for n in range(10_000)] == list(range(10_000))


def _parse_large(space: dict[str, Any]) -> None:
    _parse_small(space)
    cases = {
        "十万零三百": 100_300,
        "两亿零五万": 200_050_000,
        "一千二百三十四亿五千六百七十八万九千零一": 123_456_789_001,
        "两千零二": 2002,
        "两百": 200,
        "一万两千": 12_000,
        "一亿零一": 100_000_001,
        "九千九百九十九亿九千九百九十九万九千九百九十九": 999_999_999_999,
        "二〇二四": 2024,
        "一三五": 135,
        "〇〇七": 7,
        "两": 2,
    }
    assert {text: space["parse_cn"](text) for text in cases} == cases


_YUAN = {
    0: "零元整",
    7: "柒元整",
    10: "壹拾元整",
    15: "壹拾伍元整",
    1005: "壹仟零伍元整",
    1050: "壹仟零伍拾元整",
    1200: "壹仟贰佰元整",
    10_000: "壹万元整",
    10_005: "壹万零伍元整",
    10_500: "壹万零伍佰元整",
    100_000: "壹拾万元整",
    105_000: "壹拾万伍仟元整",
    201_003: "贰拾万壹仟零叁元整",
    10_000_001: "壹仟万零壹元整",
    10_203_040: "壹仟零贰拾万叁仟零肆拾元整",
    99_999_999: "玖仟玖佰玖拾玖万玖仟玖佰玖拾玖元整",
}


def _rmb(space: dict[str, Any]) -> None:
    assert {n: space["rmb"](n) for n in _YUAN} == _YUAN


def _rmb_fen(space: dict[str, Any]) -> None:
    _rmb(space)
    assert {n: space["rmb_fen"](100 * n) for n in _YUAN} == _YUAN
    cases = {
        5: "伍分",
        30: "叁角整",
        31: "叁角壹分",
        105: "壹元零伍分",
        1050: "壹拾元伍角整",
        1056: "壹拾元伍角陆分",
        1_000_001: "壹万元零壹分",
        9_999_999_999: "玖仟玖佰玖拾玖万玖仟玖佰玖拾玖元玖角玖分",
    }
    assert {n: space["rmb_fen"](n) for n in cases} == cases


_ID = "11010519491231002X"  # the example in GB 11643


def _with_check_digit(first: str) -> str:
    """Complete an identity number by ISO 7064, MOD 11-2: the weights are powers of two."""
    total = sum(int(digit) * pow(2, 17 - place, 11) for place, digit in enumerate(first))
    return first + "0123456789X"[(1 - total) % 11]


def _check_id(space: dict[str, Any]) -> None:
    check = space["check_id"]
    assert _with_check_digit(_ID[:17]) == _ID
    for bad in ("", _ID[:17], _ID + "0", _ID[:17] + "x", _ID[:17] + "0", "X" + _ID[1:]):
        assert check(bad) is False
    assert check("\uff11" + _ID[1:]) is False
    numbers = [f"{random.Random(seed).randrange(10**17):017}" for seed in range(50)]
    assert all(check(_with_check_digit(number)) is True for number in [*numbers, _ID[:17]])


def _id_info(space: dict[str, Any]) -> None:
    _check_id(space)
    info = space["id_info"]
    found = info(_ID)
    assert list(found.items()) == [
        ("region", "110105"),
        ("birthday", "1949-12-31"),
        ("gender", "女"),
    ]
    assert info(_ID[:17] + "1") is None
    assert info(_with_check_digit("33010620000229017"))["gender"] == "男"
    for day in ("19000229", "20230431", "20231301", "00000101"):
        assert info(_with_check_digit(f"330106{day}018")) is None


_STROKES = {"丁": 2, "万": 3, "马": 3, "王": 4, "方": 4, "一": 1, "二": 2, "山": 3}
_STROKES |= {"司": 5, "欧": 8, "阳": 6, "林": 8, "陈": 7, "诸": 10, "葛": 12, "亮": 9, "明": 8}


def _sort_names(space: dict[str, Any]) -> None:
    names = ["陈一", "王二", "马山", "丁山", "方一", "丁一", "万一", "王", "林二"]
    given = list(names)
    expected = ["丁一", "丁山", "万一", "马山", "方一", "王", "王二", "陈一", "林二"]
    assert space["sort_names"](names, _STROKES) == expected
    assert names == given
    assert space["sort_names"]([], _STROKES) == []


def _sort_compound(space: dict[str, Any]) -> None:
    sort = space["sort_names"]
    assert sort(["王二", "王", "丁一"], _STROKES) == ["丁一", "王", "王二"]
    compound = {"司马", "欧阳", "诸葛"}
    names = ["诸葛亮", "欧阳明", "林明", "司马一", "司马", "欧阳一", "陈一", "司二"]
    expected = ["司二", "司马", "陈一", "司马一", "林明", "欧阳一", "欧阳明", "诸葛亮"]
    assert sort(names, _STROKES, compound) == expected
    assert sort(names, _STROKES, compound=tuple(compound)) == expected
    assert names[0] == "诸葛亮"


def _split(space: dict[str, Any]) -> None:
    split = space["split_sentences"]
    assert split("") == split(" \n\u3000") == []
    assert split("今天好冷。你来吗？来！") == ["今天好冷。", "你来吗？", "来！"]
    assert split("什么？！我不信") == ["什么？！", "我不信"]
    assert split("他说：“走吧。”（笑。）\n然后，走了；") == [
        "他说：“走吧。”",
        "（笑。）",
        "然后，走了；",
    ]
    assert split("「好！」』\u3000 嗯……。末尾\n") == ["「好！」』", "嗯……。", "末尾"]


def _chunk(space: dict[str, Any]) -> None:
    _split(space)
    chunk = space["chunk_text"]
    assert chunk("", 5) == []
    assert chunk("一二。三四。五六。", 6) == ["一二。三四。", "五六。"]
    assert chunk("一二。三四。", 3) == ["一二。", "三四。"]
    assert chunk("一。二三四五六七八。九。十。", 4) == ["一。", "二三四五", "六七八。", "九。十。"]
    assert chunk("一二三四五。六。", 4) == ["一二三四", "五。", "六。"]
    assert chunk("好。\n坏。", 1) == ["好", "。", "坏", "。"]
    for bad in (0, -3):
        with pytest.raises(ValueError):
            chunk("好。", bad)


def _merge(space: dict[str, Any]) -> None:
    merge = space["merge_meetings"]
    meetings = [(600, 660), (540, 600), (700, 730)]
    assert merge(meetings) == [(540, 660), (700, 730)]
    assert meetings == [(600, 660), (540, 600), (700, 730)]
    assert merge([]) == []
    assert merge([(0, 100), (10, 20), (100, 101), (103, 104)]) == [(0, 101), (103, 104)]


def _free(space: dict[str, Any]) -> None:
    _merge(space)
    free = space["free_slots"]
    for seed in range(60):
        rng = random.Random(seed)
        starts = [[rng.randrange(60) for _ in range(rng.randrange(4))] for _ in range(3)]
        calendars = [[(start, start + rng.randrange(1, 12)) for start in one] for one in starts]
        busy = {m for one in calendars for start, end in one for m in range(start, end)}
        line = "".join("x" if m in busy else "." for m in range(10, 50))
        edges = [m for m in range(41) if (line[m - 1 : m] or "x") != (line[m : m + 1] or "x")]
        pairs = zip(edges[::2], edges[1::2], strict=True)
        expected = [(a + 10, b + 10) for a, b in pairs if b - a >= 5]
        assert free(calendars, 10, 50, 5) == expected
    assert free([], 0, 60, 60) == free([[]], 0, 60, 60) == [(0, 60)]
    assert free([], 0, 60, 61) == []


def _top_scores(space: dict[str, Any]) -> None:
    scores = [3, 1, 2, 3]
    assert space["top_scores"](scores, 3) == [3, 3, 2]
    assert scores == [3, 1, 2, 3]
    assert space["top_scores"]([5], 3) == [5]
    assert [space["top_scores"](scores, k) for k in (0, -1, -2)] == [[], [], []]


def _rank(space: dict[str, Any]) -> None:
    rank = space["rank_people"]
    scores = {"丙": 90, "乙": 95, "甲": 90, "丁": 60}
    everyone = [(1, "乙", 95), (2, "丙", 90), (2, "甲", 90), (4, "丁", 60)]
    assert [rank(scores, k) for k in (1, 2, 3, 4)] == [everyone[:n] for n in (1, 3, 3, 4)]
    assert list(scores) == ["丙", "乙", "甲", "丁"]
    assert rank(scores, 9) == everyone
    assert rank(scores, 0) == rank(scores, -2) == rank({}, 3) == []


def _liberties(space: dict[str, Any]) -> None:
    liberties = space["liberties"]
    board = ["BB.W", ".BWW", "..B."]
    assert liberties(board, 0, 0) == liberties(board, 1, 1) == 3
    assert liberties(board, 1, 2) == 2
    assert liberties(board, 2, 2) == 2
    assert liberties(board, 2, 0) == 0
    assert liberties(["B"], 0, 0) == 0
    assert liberties([".B."], 0, 1) == 2


def _play(space: dict[str, Any]) -> None:
    _liberties(space)
    play = space["play"]
    board = [".WB", "WB.", "B.."]
    assert play(board, 0, 0, "B") == ["B.B", ".B.", "B.."]
    assert play(board, 0, 1, "B") is None
    assert board == [".WB", "WB.", "B.."]
    assert play([".W.", "W..", "..."], 0, 0, "B") is None
    assert play([".B", "BB"], 0, 0, "B") is None
    assert play(["WB.", ".B."], 1, 0, "B") == [".B.", "BB."]
    assert play(["WWB", "BB."], 1, 2, "W") == ["WW.", "..W"]
    assert play([".WB.", "WWB.", "BB.."], 0, 0, "B") == ["B.B.", "..B.", "BB.."]
    assert play(["..", ".."], 1, 1, "W") == ["..", ".W"]


CHECKS: dict[int, tuple[Check, Check]] = {
    2041: (_count_han, _top_han),
    2042: (_to_half, _to_half_but),
    2043: (_parse_small, _parse_large),
    2044: (_rmb, _rmb_fen),
    2045: (_check_id, _id_info),
    2046: (_sort_names, _sort_compound),
    2047: (_split, _chunk),
    2048: (_merge, _free),
    2049: (_top_scores, _rank),
    2050: (_liberties, _play),
}
