"""Compute the answers of the English questions on mathematics (1031-1040), mostly by counting."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import combinations, count, islice, permutations
from math import isqrt

Solve = Callable[[], str]
Point = tuple[Fraction, Fraction]

_CENTS = {"notebook": 240, "pen": 85, "note": 2000}
_MARBLES = "rrrrrbbbbggg"


def _change() -> int:
    return _CENTS["note"] - 3 * _CENTS["notebook"] - 2 * _CENTS["pen"]


def _more_notebooks() -> str:
    reduced = _CENTS["notebook"] * 85 // 100
    bought = max(n for n in range(100) if n * reduced <= _change())
    return f"{bought} notebooks, {_money(_change() - bought * reduced)} left"


def _money(cents: int) -> str:
    return f"{cents // 100}.{cents % 100:02}"


def _minutes_of_pages() -> Iterator[Fraction]:
    """Yield when each page is printed; the cooling comes before the page that follows it."""
    time = Fraction(0)
    for page in count():
        if page > 0 and page % 70 == 0:
            time += 3
        time += Fraction(1, 14)
        yield time


def _print_time() -> str:
    return f"{next(islice(_minutes_of_pages(), 293, None))} minutes"


def _pages_in_an_hour() -> str:
    return f"{sum(time <= 60 for time in islice(_minutes_of_pages(), 1000))} pages"


def _evaporated() -> int:
    return next(water for water in range(600) if 12 * (600 - water) == 100 * 48)


def _salt_added() -> str:
    left = 600 - _evaporated()
    return f"{next(salt for salt in count() if 5 * (48 + salt) == left + salt)} g"


def _all_colours() -> str:
    draws = list(combinations(_MARBLES, 3))
    return str(Fraction(sum(len(set(draw)) == 3 for draw in draws), len(draws)))


def _two_red_given_one() -> str:
    draws = [draw for draw in combinations(_MARBLES, 3) if "r" in draw]
    return str(Fraction(sum(draw.count("r") == 2 for draw in draws), len(draws)))


def _trapezoid() -> list[Point]:
    height = isqrt(10**2 - 6**2)
    assert height**2 == 10**2 - 6**2
    corners = [(0, 0), (22, 0), (16, height), (6, height)]
    return [(Fraction(x), Fraction(y)) for x, y in corners]


def _area(corners: list[Point]) -> Fraction:
    """Apply the shoelace formula."""
    following = [*corners[1:], corners[0]]
    sides = zip(corners, following, strict=True)
    return abs(sum((a[0] * b[1] - b[0] * a[1] for a, b in sides), start=Fraction(0))) / 2


def _large_triangle() -> str:
    left, right, _, top_left = _trapezoid()
    # by symmetry the legs meet above the middle of the longer side
    middle = (left[0] + right[0]) / 2
    return str(_area([left, right, (middle, middle * top_left[1] / top_left[0])]))


def _coefficients() -> tuple[int, int, int]:
    whole = range(-20, 21)
    ((a, b, c),) = (
        (a, b, c)
        for a in whole
        for b in whole
        for c in whole
        if (c, a + b + c, 9 * a + 3 * b + c) == (7, 4, 10)
    )
    return a, b, c


def _tangent_slopes() -> str:
    a, b, c = _coefficients()
    slopes = [k for k in range(-50, 51) if (b - k) ** 2 - 4 * a * (c - 5) == 0]
    assert len(slopes) == 2  # as many as the equation in k, which is quadratic, can have
    return " or ".join(f"k = {k}" for k in slopes)


def _with_remainders(limit: int) -> list[int]:
    return [n for n in range(1, limit) if (n % 7, n % 9, n % 11) == (3, 4, 5)]


def _rows_of_six() -> str:
    rows = list(permutations("ABCDEF"))
    return str(sum(_apart(row) > 1 and row.index("C") in (0, 5) for row in rows))


def _round_tables() -> str:
    tables = [("A", *rest) for rest in permutations("BCDEF")]
    return str(sum(_apart(table) not in (1, 5) and table[3] == "C" for table in tables))


def _apart(row: tuple[str, ...]) -> int:
    return abs(row.index("A") - row.index("B"))


def _best_box(length: int, width: int, lowest: int) -> str:
    sides = [Fraction(n, 100) for n in range(100 * lowest, 50 * width + 1)]  # hundredths of a cm
    volume, side = max((x * (length - 2 * x) * (width - 2 * x), x) for x in sides)
    return f"side {side} cm, volume {volume} cubic centimetres"


def _expected_moves(back: Callable[[int], int]) -> str:
    """Iterate the equations of the expected values, which converges to their only solution."""
    moves = [0.0] * 5  # from each square; 0 on the goal
    for _ in range(2000):
        moves = [1 + 2 / 3 * moves[k + 1] + 1 / 3 * moves[back(k)] for k in range(4)] + [0.0]
    return str(Fraction(moves[0]).limit_denominator(1000))


MATH: dict[int, tuple[Solve, Solve]] = {
    1031: (lambda: _money(_change()), _more_notebooks),
    1032: (_print_time, _pages_in_an_hour),
    1033: (lambda: f"{_evaporated()} g", _salt_added),
    1034: (_all_colours, _two_red_given_one),
    1035: (lambda: str(_area(_trapezoid())), _large_triangle),
    1036: (lambda: "a = {}, b = {}, c = {}".format(*_coefficients()), _tangent_slopes),
    1037: (
        lambda: str(min(_with_remainders(7 * 9 * 11 + 1))),
        lambda: str(len(_with_remainders(10_000))),
    ),
    1038: (_rows_of_six, _round_tables),
    1039: (lambda: _best_box(24, 15, 0), lambda: _best_box(18, 18, 4)),
    1040: (
        lambda: _expected_moves(lambda square: 0),
        lambda: _expected_moves(lambda square: max(square - 1, 0)),
    ),
}
