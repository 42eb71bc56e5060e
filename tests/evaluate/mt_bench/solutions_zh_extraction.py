"""Read the passages of the Chinese questions on extraction (2051-2060) and expect what they say."""

import csv
import json
import re
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any, NamedTuple


class Task(NamedTuple):
    """How an answer is read, and what it must hold given the turns of the question so far."""

    read: Callable[[str], Any]
    expect: Callable[[str], Any]


def _rows(answer: str) -> list[list[str]]:
    return list(csv.reader(answer.splitlines()))


def _exact(answer: str) -> Any:
    """Read JSON without rounding, and with the order of the keys."""
    return json.loads(answer, parse_float=Decimal, object_pairs_hook=list)


def _one_line(answer: str) -> Any:
    assert "\n" not in answer
    return _exact(answer)


def _lines(answer: str) -> list[list[str]]:
    return [re.split(r"[,|]", line) for line in answer.splitlines()]


def _objects(names: str, rows: list[list[Any]]) -> list[list[tuple[str, Any]]]:
    keys = names.split()
    return [list(zip(keys, row, strict=True)) for row in rows]


def _said(passage: str, *words: str) -> list[str]:
    """Return the words, which must stand in the passage."""
    missing = [word for word in words if word not in passage]
    assert not missing, f"the passage does not say {missing}"
    return list(words)


def _ordered(passage: str) -> list[list[Any]]:
    """Follow the messages of the group; a later number replaces an earlier one."""
    homes = re.findall(r"(\d)号楼(\d+) ?(老周|小何|王阿姨|阿杰)：", passage)
    orders = {f"{a}-{b}": [f"{a}-{b}", name, 0, 0] for a, b, name in homes}
    for said, home, goods, amount in (
        ("沃柑两箱，鸡蛋一盒", "3-502", 2, 2),
        ("鸡蛋一盒", "3-502", 3, 1),
        ("鸡蛋两盒", "7-1103", 3, 2),
        ("沃柑一箱", "3-301", 2, 1),
        ("沃柑3箱", "5-204", 2, 3),
        ("鸡蛋一盒就行", "7-1103", 3, 1),
        ("再加一箱沃柑", "7-1103", 2, 1),
        ("鸡蛋也来一盒", "5-204", 3, 1),
        ("沃柑不要了", "3-301", 2, 0),
    ):
        _said(passage, said)
        orders[home][goods] = amount
    return [order for order in orders.values() if order[2:] != [0, 0]]


def _priced(passage: str) -> list[tuple[str, Any]]:
    _said(passage, "沃柑每箱28元", "草鸡蛋每盒36元")
    orders = [[*order, 28 * order[2] + 36 * order[3]] for order in _ordered(passage)]
    orders.sort(key=lambda order: -int(order[4]))
    total = sum(order[4] for order in orders)
    return [("订单", _objects("房号 称呼 沃柑 鸡蛋 金额", orders)), ("合计", total)]


_TODO = {  # who and by when, in words of the passage
    "扩容申请": ("韩磊", "06-03", "今天散会就提交"),
    "海报终稿": ("刘畅", "06-06", "本周四给出来"),  # 3 June is a Monday
    "交差旅发票": ("全员", "06-07", "6月7日之前"),
    "压测报告": ("小齐", "06-12", "小齐主责，最晚6月12日"),
    "团建场地": ("老郑", "06-20", "6月20日前"),
}


def _todo(passage: str) -> list[list[str]]:
    _said(passage, *(said for _, _, said in _TODO.values()), "韩磊", "刘畅", "老郑", "提醒大家")
    rows = [[task, who, day] for task, (who, day, _) in _TODO.items()]
    return [["事项", "负责人", "截止日期"], *sorted(rows, key=lambda row: row[2])]


def _todo_corrected(passage: str) -> list[list[tuple[str, Any]]]:
    _said(passage, "其实是6月4日周二", "压测报告提前三天", "海报终稿改由实习生小唐负责")
    rows = {row[0]: row for row in _todo(passage)[1:] if row[1] != "全员"}
    rows["扩容申请"][2] = "06-04"  # the day of the meeting; Thursday stays where it was
    rows["海报终稿"][1] = "小唐"
    rows["压测报告"][2] = "06-09"
    return _objects("事项 负责人 截止日期", sorted(rows.values(), key=lambda row: row[2]))


def _people(passage: str) -> list[list[tuple[str, Any]]]:
    _said(passage, "沈元，字伯初，山阴人也", "叔父沈让", "炳字明远，诸暨人", "沈亨，字仲和，步行")
    rows: list[list[Any]] = [
        ["沈元", "伯初", "山阴"],
        ["沈让", None, None],
        ["周炳", "明远", "诸暨"],
        ["沈亨", "仲和", None],
    ]
    places = [passage.index(row[0]) for row in rows]
    assert places == sorted(places)
    return _objects("姓名 字 籍贯", rows)


def _kin(passage: str) -> list[list[str]]:
    _said(passage, "从叔父沈让学医", "遂相与为友", "其弟沈亨", "卒于建宁，年五十有二，葬山阴")
    kin = {"沈让": "叔父", "周炳": "友", "沈亨": "弟"}
    return [*([name, what, "沈元"] for name, what in kin.items()), ["沈元", "52", "建宁", "山阴"]]


def _tea_house(passage: str) -> str:
    start = passage.index("“老茶馆")
    return passage[start : passage.index("”", start)]


def _letters(passage: str) -> list[list[str]]:
    counts = {letter: _tea_house(passage).count(letter) for letter in "茶水好"}
    assert len(set(counts.values())) == 3  # no tie to break
    return [[letter, str(counts[letter])] for letter in sorted(counts, key=lambda c: -counts[c])]


def _letters_by_sentence(passage: str) -> list[list[str]]:
    counts = [sentence.count("茶") for sentence in _tea_house(passage).split("。")[:-1]]
    lines = [[f"第{n}句", str(count)] for n, count in enumerate(counts, start=1)]
    return [*lines, ["合计", _letters(passage)[0][1]]]


def _prices(passage: str) -> dict[str, dict[str, Decimal]]:
    prices: dict[str, dict[str, Decimal]] = {"黄瓜": {}, "番茄": {}, "菠菜": {}}
    for day, kind, price in re.findall(r"(4月\d日),(..),([\d.]+)", passage):
        prices[kind][day] = Decimal(price)
    assert all(len(set(days.values())) == 4 for days in prices.values())
    return prices


def _highest_and_lowest(passage: str) -> list[list[str]]:
    rows = [["品种", "最高价", "最高价日期", "最低价", "最低价日期"]]
    for kind, days in _prices(passage).items():
        high, low = max(days, key=lambda d: days[d]), min(days, key=lambda d: days[d])
        rows.append([kind, str(days[high]), high, str(days[low]), low])
    return rows


def _averages(passage: str) -> list[tuple[str, Any]]:
    def values(days: dict[str, Decimal]) -> list[tuple[str, Decimal]]:
        mean = (sum(days.values()) / Decimal(4)).quantize(Decimal("0.01"), ROUND_HALF_UP)
        spread = max(days.values()) - min(days.values())
        return [("均价", mean), ("波动", spread), ("涨跌", days["4月4日"] - days["4月1日"])]

    kinds = [(kind, values(days)) for kind, days in _prices(passage).items()]
    return sorted(kinds, key=lambda kind: -kind[1][1][1])


def _names(passage: str) -> list[tuple[str, list[str]]]:
    _said(passage, "本名石水生", "在安平镇开幕", "到云州市去")
    found = [
        ("人名", _said(passage, "叶知秋", "石水生", "罗小棠", "彭建国")),
        ("地名", _said(passage, "安平镇", "云州市")),
        ("机构", _said(passage, "溪口县文化馆", "安平镇竹业合作社")),
    ]
    assert all(names == sorted(names, key=passage.index) for _, names in found)
    return found


def _quotes(passage: str) -> list[tuple[str, str | None]]:
    spoken = dict(re.findall(r"(彭建国|罗小棠)(?:说|则告诉)[^\u2018]*\u2018([^\u2019]*)", passage))
    return [(name, spoken.get(name)) for name in _names(passage)[0][1]]


def _doses(passage: str) -> list[list[str]]:
    _said(passage, "每支10毫升", "成人一次一支，一日三次", "用量同成人，但一日两次")
    _said(passage, "四至六岁儿童一次半支，一日三次", "一至三岁幼儿一次半支，一日两次")
    doses = {"1-3岁": (5, 2), "4-6岁": (5, 3), "7-12岁": (10, 2), "成人": (10, 3)}
    return [[who, str(ml), str(n), str(ml * n)] for who, (ml, n) in doses.items()]


def _shopping(passage: str) -> list[tuple[str, int]]:
    _said(passage, "每盒6支", "8岁的哥哥和5岁的妹妹", "各服4天")
    daily = {row[0]: int(row[3]) for row in _doses(passage)}
    brother, sister = daily["7-12岁"], daily["4-6岁"]
    vials = 4 * sum(
        -(-ml // 10) for ml in (brother, sister)
    )  # what is left of a day is thrown away
    totals = [("哥哥毫升数", 4 * brother), ("妹妹毫升数", 4 * sister)]
    return [*totals, ("总支数", vials), ("盒数", -(-vials // 6))]


_REVIEWS = (  # aspect, attitude, and the words that settle both
    ("物流", "好评", "周三下单周四就到了"),
    ("质量", "差评", "内胆涂层就起皮了"),
    ("客服", "差评", "问一句等三天"),
    ("价格", "好评", "捡到了"),
    ("物流", "差评", "路上走了九天"),
    ("质量", "好评", "一次也没出过毛病"),
    ("价格", "差评", "还不给补差价"),
)


def _reviews(passage: str) -> list[list[str]]:
    _said(passage, *(words for _, _, words in _REVIEWS))
    return [[str(n), what, how] for n, (what, how, _) in enumerate(_REVIEWS, start=1)]


def _review_counts(passage: str) -> list[tuple[str, list[tuple[str, int]]]]:
    _said(passage, "③追评：“后来换了一位客服", "②追评：“商家补寄了新内胆，用了一个月，还是起皮")
    reviews = _reviews(passage)
    reviews[3 - 1][2] = "好评"  # ② stays bad
    pairs = [(what, how) for _, what, how in reviews]
    attitudes = ("好评", "差评")
    return [
        (what, [(how, pairs.count((what, how))) for how in attitudes])
        for what in ("物流", "质量", "客服", "价格")
    ]


def _trains(passage: str, late: int = 0) -> list[tuple[str, int, int, int]]:
    """Return number, departure and arrival in minutes, and price; `late` delays D640."""
    _said(passage, "早上7:50开，11:35到", "晚开两小时十分钟，路上只要两小时四十八分钟")
    _said(
        passage, "13:05开，18:50到", "运行时间一样长，14:20开，票价便宜10元", "20:40开，次日6:15到"
    )
    _said(passage, "196元", "288元", "102元", "88元")
    start, end = 7 * 60 + 50, 11 * 60 + 35
    other = 14 * 60 + 20 + late
    return [
        ("D622", start, end, 196),
        ("G1150", start + 130, start + 130 + 168, 288),
        ("T89", 13 * 60 + 5, 18 * 60 + 50, 102),
        ("D640", other, other + end - start, 196 - 10),
        ("K307", 20 * 60 + 40, (24 + 6) * 60 + 15, 88),
    ]


def _timetable(passage: str) -> list[list[str]]:
    def clock(minutes: int) -> str:
        return f"{minutes // 60 % 24:02}:{minutes % 60:02}"

    trains = sorted(_trains(passage), key=lambda train: (train[2] - train[1], train[1]))
    rows = [[n, clock(a), clock(b), str(b - a), str(yuan)] for n, a, b, yuan in trains]
    return [["车次", "出发", "到达", "历时", "票价"], *rows]


def _fitting_trains(passage: str) -> list[tuple[str, list[tuple[str, Any]]]]:
    _said(passage, "不早于9:30", "不晚于18:30", "推迟30分钟")
    result = []
    for name, late in (("晚点前", 0), ("晚点后", 30)):
        trains = sorted(_trains(passage, late), key=lambda train: train[1])
        fitting = [train for train in trains if train[1] >= 570 and train[2] <= 18 * 60 + 30]
        best = min(fitting, key=lambda train: train[3])
        names = [train[0] for train in fitting]
        result.append((name, [("可选", names), ("最便宜", best[0]), ("票价", best[3])]))
    return result


def _contract(passage: str) -> list[tuple[str, Any]]:
    _said(
        passage, "2023年5月1日起", "2026年4月30日止", "玖仟捌佰元", "押金为两个月租金", "提前60日"
    )
    _said(passage, "建筑面积146平方米")
    parties = _said(passage, "何秀兰", "澄心设计工作室")
    keys = ["出租方", "承租方", "面积", "租期起", "租期止", "月租金", "押金", "提前通知天数"]
    values = [*parties, 146, "2023-05-01", "2026-04-30", 9800, 2 * 9800, 60]
    return list(zip(keys, values, strict=True))


def _contract_changes(passage: str) -> list[tuple[str, Any]]:
    _said(passage, "每季三个月", "千分之一", "10600元", "2027年4月30日", "45日", "逾期10日")
    new = {"租期止": "2027-04-30", "月租金": 10600, "提前通知天数": 45}
    changes = [
        (key, [("原", value), ("新", new[key])]) for key, value in _contract(passage) if key in new
    ]
    return [*changes, ("违约金", 10600 * 3 * 10 // 1000)]


TASKS: dict[int, tuple[Task, Task]] = {
    2051: (
        Task(_exact, lambda passage: _objects("房号 称呼 沃柑 鸡蛋", _ordered(passage))),
        Task(_exact, _priced),
    ),
    2052: (Task(_rows, _todo), Task(_exact, _todo_corrected)),
    2053: (Task(_exact, _people), Task(_lines, _kin)),
    2054: (Task(_lines, _letters), Task(_lines, _letters_by_sentence)),
    2055: (Task(_rows, _highest_and_lowest), Task(_exact, _averages)),
    2056: (Task(_exact, _names), Task(_one_line, _quotes)),
    2057: (Task(_lines, _doses), Task(_exact, _shopping)),
    2058: (Task(_lines, _reviews), Task(_exact, _review_counts)),
    2059: (Task(_rows, _timetable), Task(_exact, _fitting_trains)),
    2060: (Task(_exact, _contract), Task(_exact, _contract_changes)),
}
