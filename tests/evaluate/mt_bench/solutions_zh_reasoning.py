"""Compute the answers of the Chinese questions on reasoning (2021-2030), mostly by brute force."""

from collections.abc import Callable, Iterator
from itertools import combinations, permutations, product
from math import isqrt

Solve = Callable[[], str]
Oil = tuple[int, int, int]
Result = dict[tuple[str, str], int]  # the points of the first side

_SEATS = "ABCDF"
_WINDOW, _AISLE = "AF", "CD"
_NO_AISLE_BETWEEN = ("AB", "BA", "BC", "CB", "DF", "FD")


def _seatings() -> Iterator[dict[str, str]]:
    """Yield who sits where, with 钱 beside 孙 and 钱 next to the aisle."""
    for order in permutations(_SEATS):
        seat = dict(zip("赵钱孙李周", order, strict=True))
        if seat["钱"] + seat["孙"] in _NO_AISLE_BETWEEN and seat["钱"] in _AISLE:
            yield seat


def _by_seat(seat: dict[str, str]) -> str:
    return "、".join(sorted(seat, key=lambda name: seat[name]))


def _seated_first() -> dict[str, str]:
    [seat] = [s for s in _seatings() if s["赵"] in _WINDOW and s["李"] not in _WINDOW + _AISLE]
    return seat


def _seated_then() -> str:
    [seat] = [
        s
        for s in _seatings()
        if abs(_SEATS.index(s["李"]) - _SEATS.index(s["周"])) == 3 and s["周"] not in _WINDOW
    ]
    assert not seat.items() & _seated_first().items()
    return f"{_by_seat(seat)}，没有人的座位不变"


def _one_thief() -> str:
    [(thief, truth)] = [
        (thief, statements)
        for thief in "春夏秋冬"
        if sum(statements := (thief != "春", thief == "秋", thief == "冬", thief != "冬")) == 1
    ]
    return f"偷吃的是阿{thief}，说真话的是阿{'春夏秋冬'[truth.index(True)]}"


def _two_thieves() -> str:
    [pair] = [
        pair
        for pair in combinations("春夏秋冬", 2)
        if [who not in pair for who in "春夏秋冬"]
        == [("春" in pair) == ("夏" in pair), "秋" in pair, "冬" in pair, "冬" not in pair]
    ]
    return "、".join(f"阿{who}" for who in pair)


_PARENTS = {
    "小满": ("林涛", "陈芳"),
    "大宝": ("林静",),
    "林小雨": ("林波",),
    "陈晨": ("陈刚",),
    "佳佳": ("陈丽",),
    "豆豆": ("小满",),
    "石头": ("林小雨",),
    "小虎": ("陈晨",),
}
_SIBLINGS = ({"林静", "林涛", "林波"}, {"陈刚", "陈芳", "陈丽"})
_MEN = {"林涛", "林波", "陈刚", "陈晨", "林小雨", "大宝"}


def _cousin(one: str, other: str) -> str | None:
    """Return 堂 for children of brothers, 表 for other cousins, None for no kin."""
    for pair in product(_PARENTS[one], _PARENTS[other]):
        if any(set(pair) <= siblings for siblings in _SIBLINGS):
            return "堂" if set(pair) <= _MEN else "表"
    return None


def _cousins() -> str:
    four = ("陈晨", "佳佳", "大宝", "林小雨")
    near = [name for name in four if _cousin("小满", name) == "堂"]
    far = sorted(set(four) - set(near), key=four.index)
    kin = [f"{a}和{b}" for a, b in combinations(four, 2) if _cousin(a, b)]
    return f"堂亲是{'、'.join(near)}，表亲是{'、'.join(far)}，有血缘关系的是{'、'.join(kin)}"


def _call(child: str, elder: str) -> str:
    """Return how a child calls the cousin of its only known parent."""
    [parent] = _PARENTS[child]
    title = {(True, False): "姑", (False, True): "舅"}[parent in _MEN, elder in _MEN]
    return f"{_cousin(parent, elder)}{title}"


def _calls() -> str:
    return "、".join((_call("石头", "小满"), _call("小虎", "小满"), _call("豆豆", "林小雨")))


def _ganzhi(year: int) -> str:
    step = (year - 1984) % 60
    return "甲乙丙丁戊己庚辛壬癸"[step % 10] + "子丑寅卯辰巳午未申酉戌亥"[step % 12]


def _stone() -> int:
    [year] = [year for year in range(1800, 1900) if _ganzhi(year) == "丙午"]
    return year


def _bridge() -> str:
    lost = max(year for year in range(1700, _stone()) if _ganzhi(year) == "丁酉")
    return f"立碑在{_stone()}年，桥毁于{lost}年，相隔{_stone() - lost}年"


def _donor() -> str:
    born = _stone() - (68 - 1)
    return f"出生在{_ganzhi(born)}年，虚岁七十在{_ganzhi(born + 70 - 1)}年"


def _verdicts(sings: bool) -> dict[str, str]:
    """Judge the four statements over every world in which nobody brought a racket."""
    worlds = [
        (rain, climb, badminton, sun)
        for rain, climb, badminton, sun in product((False, True), repeat=4)
        if not (rain and climb)
        and (climb or badminton or sings)
        and not badminton
        and not (rain and sun)
    ]
    words = {(True,): "必真", (False,): "必假", (False, True): "不确定"}
    columns = zip(*worlds, strict=True)
    return {
        name: words[tuple(sorted(set(column)))]
        for name, column in zip("ABCD", columns, strict=True)
    }


def _said(verdicts: dict[str, str]) -> str:
    return "，".join(name + verdict for name, verdict in verdicts.items())


def _outing_then() -> str:
    before, after = _verdicts(sings=False), _verdicts(sings=True)
    changed = [name for name in after if before[name] != after[name]]
    return f"{_said(after)}，判断变了的是{'、'.join(changed)}"


def _pours(start: Oil, done: Callable[[Oil], bool]) -> int:
    """Count the fewest pours between vessels of 14, 8 and 5 jin."""
    reached, pours = {start}, 0
    while not any(done(oil) for oil in reached):
        reached |= {_pour(oil, i, j) for oil in reached for i, j in permutations(range(3), 2)}
        pours += 1
    return pours


def _pour(oil: Oil, source: int, target: int) -> Oil:
    moved = min(oil[source], (14, 8, 5)[target] - oil[target])
    left = list(oil)
    left[source] -= moved
    left[target] += moved
    return left[0], left[1], left[2]


def _season() -> Result:
    """Return the only results that give 甲乙丙丁 5, 4, 3 and 2 points."""
    matches = list(combinations("甲乙丙丁", 2))
    seasons = [dict(zip(matches, points, strict=True)) for points in product((0, 1, 3), repeat=6)]
    [season] = [season for season in seasons if list(_table(season).values()) == [5, 4, 3, 2]]
    return season


def _table(season: Result) -> dict[str, int]:
    table = dict.fromkeys("甲乙丙丁", 0)
    for (home, guest), points in season.items():
        table[home] += points
        table[guest] += {3: 0, 1: 1, 0: 3}[points]
    return table


def _wins() -> str:
    season = _season()
    assert 0 not in season.values()  # then the first side has won, and order is as written
    won = [f"{home}胜{guest}" for (home, guest), points in season.items() if points == 3]
    assert list(season.values()).count(1) == 4
    return f"{'，'.join(won)}，其余四场踢平"


def _after_penalty() -> str:
    table = _table(_season() | {("甲", "乙"): 0, ("丙", "丁"): 0})
    return "，".join(f"{team}{points}分" for team, points in table.items())


_DISHES = {"红烧排骨": (10, 40), "清蒸鲈鱼": (8, 12), "蒜蓉西兰花": (6, 4), "番茄蛋汤": (5, 9)}
_LAST = "蒜蓉西兰花"


def _minutes(prepared: tuple[str, ...], cooked: tuple[str, ...], burners: int, wait: bool) -> int:
    ready, time = {}, 0
    for dish in prepared:
        ready[dish] = time = time + _DISHES[dish][0]
    free = [0] * burners
    for dish in cooked:
        waits_for = max(free) if wait and dish == _LAST else min(free)
        free[free.index(min(free))] = max(waits_for, ready[dish]) + _DISHES[dish][1]
    return max(free)


def _plans(burners: int, *, wait: bool) -> dict[tuple[str, ...], int]:
    """Map each order of preparation to its shortest time, over every order of cooking."""
    orders = list(permutations(_DISHES))
    cooking = [order for order in orders if not wait or order[-1] == _LAST]
    return {p: min(_minutes(p, c, burners, wait) for c in cooking) for p in orders}


def _two_burners() -> str:
    plans = _plans(2, wait=True)
    best = min(plans.values())
    [first] = {order[0] for order, minutes in plans.items() if minutes == best}
    return f"{best}分钟，先洗切{first}"


def _walk(turns: str) -> tuple[complex, str]:
    """Return where the walk ends, east and north of the tower, and where it faces."""
    facing, place = -1j, -300j
    for turn, metres in zip(turns, (200, 100, 400, 400), strict=True):
        facing *= 1j if turn == "左" else -1j
        place += facing * metres
    return place, {1j: "北", -1j: "南", 1: "东", -1: "西"}[facing]


def _walked() -> str:
    place, facing = _walk("左右右右")
    assert place.imag == 0 and place.real < 0
    return f"在钟楼正西{-place.real:.0f}米，面朝{facing}"


def _walked_wrong() -> str:
    place, facing = _walk("左右左右")
    apart = place - _walk("左右右右")[0]
    square = round(apart.real**2 + apart.imag**2)
    assert square % 2 == 0 and isqrt(square // 2) ** 2 * 2 == square
    return f"离钟楼{abs(place):.0f}米，面朝{facing}，两个终点相距{isqrt(square // 2)}√2米"


def _lost(most: int, *, last_wins: bool) -> list[int]:
    """Return the counts from which whoever is to move loses."""
    lost: list[int] = [0] if last_wins else []
    for n in range(1, most + 1):
        if not any(n - taken in lost for taken in (1, 3, 4)):
            lost.append(n)
    return lost


def _stones() -> str:
    lost = _lost(20, last_wins=True)
    [taken] = [taken for taken in (1, 3, 4) if 20 - taken in lost]
    return f"先手能赢，第一次必须取{taken}枚"


def _stones_then() -> str:
    lost = _lost(22, last_wins=False)
    assert 22 in lost
    return f"后手能赢，输数是{'、'.join(map(str, lost))}"


SOLVE: dict[int, tuple[Solve, Solve]] = {
    2021: (lambda: _by_seat(_seated_first()), _seated_then),
    2022: (_one_thief, _two_thieves),
    2023: (_cousins, _calls),
    2024: (_bridge, _donor),
    2025: (lambda: _said(_verdicts(sings=False)), _outing_then),
    2026: (
        lambda: f"最少{_pours((14, 0, 0), lambda oil: oil == (7, 7, 0))}次",
        lambda: f"最少{_pours((7, 7, 0), lambda oil: oil[0] == 13)}次",
    ),
    2027: (_wins, _after_penalty),
    2028: (lambda: f"{min(_plans(1, wait=False).values())}分钟", _two_burners),
    2029: (_walked, _walked_wrong),
    2030: (_stones, _stones_then),
}
