"""Compute the answers of the Chinese questions on mathematics (2031-2040), mostly by counting."""

from collections.abc import Callable
from fractions import Fraction
from itertools import accumulate, combinations, count, permutations
from math import isqrt

Solve = Callable[[], str]
Point = tuple[Fraction, Fraction]


def _plain(value: Fraction) -> str:
    assert Fraction(str(float(value))) == value
    return str(float(value))


def _shopping() -> Fraction:
    prices = {"23/10": "28", "1/2": "16", "2": "4.5"}  # jin and yuan a jin
    return sum((Fraction(jin) * Fraction(yuan) for jin, yuan in prices.items()), Fraction(0))


def _change() -> str:
    total = _shopping()
    assert total >= 80
    return f"{100 - total * 95 // 100}元"


def _power_bill(units: int) -> Fraction:
    """Add the price of every single unit."""
    cents = (52 if unit <= 200 else 57 if unit <= 400 else 82 for unit in range(1, units + 1))
    return Fraction(sum(cents), 100)


def _average_bill() -> str:
    [units] = [n for n in range(1, 2000) if _power_bill(n) == Fraction(53, 100) * n and n > 200]
    return f"{units}度，两个月共{_plain(_power_bill(460) + _power_bill(units))}元"


def _two_kinds() -> str:
    [(three, four)] = [(n, 30 - n) for n in range(31) if 3 * n + 4 * (30 - n) == 102]
    return f"三轮车{three}辆，小汽车{four}辆"


def _three_kinds() -> str:
    found = [
        four
        for two in range(1, 30)
        for three in range(two + 1, 30)
        for four in range(1, 30)
        if two + three + four == 30 and 2 * two + 3 * three + 4 * four == 82
    ]
    return f"{len(found)}种，小汽车最多{max(found)}辆"


def _troop() -> int:
    [people] = [n for n in range(300, 601) if (n % 5, n % 7, n % 9) == (3, 2, 4)]
    return people


def _joined() -> str:
    [joined] = [n for n in range(1, 100) if (_troop() + n) % 11 == 0 == (_troop() + n) % 13]
    return f"{joined}人"


def _coins_drawn() -> list[int]:
    """Return the number of coins in each way to take 4 dumplings of 15."""
    return [sum(taken) for taken in combinations([1] * 3 + [0] * 12, 4)]


def _one_coin() -> str:
    drawn = _coins_drawn()
    return str(Fraction(drawn.count(1), len(drawn)))


def _two_coins() -> str:
    some = [coins for coins in _coins_drawn() if coins]
    return str(Fraction(some.count(2), len(some)))


_CORNERS: dict[str, Point] = {
    name: (Fraction(x), Fraction(y))
    for name, x, y in (("A", 0, 0), ("B", 12, 0), ("C", 12, 9), ("D", 0, 9))
}


def _crease() -> tuple[Point, Point]:
    """Return where the points as far from A as from C, 8x + 6y = 75, leave the paper."""
    low, high = Fraction(75, 8), Fraction(75 - 6 * 9, 8)
    for point in ((low, Fraction(0)), (high, Fraction(9))):
        assert _square(point, _CORNERS["A"]) == _square(point, _CORNERS["C"])
    return (low, Fraction(0)), (high, Fraction(9))


def _square(one: Point, other: Point) -> Fraction:
    return (one[0] - other[0]) ** 2 + (one[1] - other[1]) ** 2


def _crease_length() -> str:
    square = _square(*_crease())
    root = Fraction(isqrt(square.numerator), isqrt(square.denominator))
    assert root**2 == square
    return str(root)


def _folded() -> str:
    """Cut the covered area into what stays flat and what the reflected B sticks out by."""
    start, end = _crease()
    side = (start[0] - end[0], start[1] - end[1])
    corner = _CORNERS["B"]
    along = ((corner[0] - end[0]) * side[0] + (corner[1] - end[1]) * side[1]) / _square(start, end)
    foot = (end[0] + along * side[0], end[1] + along * side[1])
    reflected = (2 * foot[0] - corner[0], 2 * foot[1] - corner[1])
    assert reflected[1] < 0  # outside of the paper, below AB
    flat = _area(_CORNERS["A"], start, end, _CORNERS["D"])
    outside = _area(_CORNERS["A"], reflected, start)
    covered = flat + outside
    return f"重叠部分{12 * 9 - covered}，盖住桌面{covered}"


def _area(*corners: Point) -> Fraction:
    around = zip(corners, corners[1:] + corners[:1], strict=True)
    return abs(sum((a[0] * b[1] - a[1] * b[0] for a, b in around), Fraction(0))) / 2


def _terms(most: int) -> list[int]:
    return list(accumulate(range(most - 1), lambda term, _: 2 * term - 1, initial=3))


def _tenth() -> str:
    assert _terms(30) == [2**n + 1 for n in range(1, 31)]
    return f"通项为2^n+1，第10项为{_terms(10)[-1]}"


def _sum_of_terms() -> str:
    sums = [sum(_terms(n)) for n in range(1, 31)]
    assert sums == [2 ** (n + 1) + n - 2 for n in range(1, 31)]
    first = next(n for n, total in enumerate(sums, start=1) if total > 5000)
    return f"S=2^(n+1)+n-2，最小的n是{first}"


def _programmes() -> str:
    orders = [
        order
        for order in permutations(("歌1", "歌2", "歌3", "舞1", "舞2", "相声", "魔术"))
        if "相声" not in (order[0], order[-1]) and abs(order.index("舞1") - order.index("舞2")) > 1
    ]
    return f"{len(orders)}种"


def _inserted() -> str:
    """Place the two new acts among nine; the seven others keep their order."""
    places = list(permutations(range(9), 2))
    apart = [pair for pair in places if abs(pair[0] - pair[1]) > 1]
    return f"不相邻有{len(apart)}种，不限制有{len(places)}种"


def _f(x: Fraction) -> Fraction:
    return 2 * x**3 - 9 * x**2 + 12 * x - 3


def _grid(end: Fraction) -> list[Fraction]:
    """Return every hundredth from 0 to `end`; the turning points 1 and 2 are among them."""
    return [Fraction(n, 100) for n in range(int(end * 100) + 1)]


def _extremes() -> str:
    values = [_f(x) for x in _grid(Fraction(3))]
    return f"最大值{max(values)}，最小值{min(values)}"


def _ends_with_largest_two() -> str:
    ends = _grid(Fraction(4))
    largest = accumulate((_f(x) for x in ends), max)
    fitting = [end for end, value in zip(ends, largest, strict=True) if value == 2]
    return f"{fitting[0]}≤t≤{fitting[-1]}"


def _both_cards() -> str:
    """Solve the expected draws state by state, from one missing card to two."""
    rare, common = Fraction(1, 10), Fraction(1, 5)
    both = (1 + rare / common + common / rare) / (rare + common)
    return f"{both}次"


def _with_guarantee() -> str:
    chances = [Fraction(1, 10) * Fraction(9, 10) ** n for n in range(4)] + [Fraction(9, 10) ** 4]
    assert sum(chances) == 1
    mean = sum((n * chance for n, chance in zip(count(1), chances, strict=False)), Fraction(0))
    return f"平均{_plain(mean)}次，少扫{_plain(10 - mean)}次"


SOLVE: dict[int, tuple[Solve, Solve]] = {
    2031: (lambda: f"{_plain(_shopping())}元", _change),
    2032: (lambda: f"{_plain(_power_bill(460))}元", _average_bill),
    2033: (_two_kinds, _three_kinds),
    2034: (lambda: f"{_troop()}人", _joined),
    2035: (_one_coin, _two_coins),
    2036: (_crease_length, _folded),
    2037: (_tenth, _sum_of_terms),
    2038: (_programmes, _inserted),
    2039: (_extremes, _ends_with_largest_two),
    2040: (_both_cards, _with_guarantee),
}
