"""Run the functions that the English questions on coding (1041-1050) ask for."""

import copy
from collections.abc import Callable
from itertools import pairwise, permutations, product
from typing import Any

import pytest

Namespace = dict[str, Any]
Case = Callable[[Namespace], None]


def _initials(space: Namespace) -> None:
    initials = space["initials"]
    assert initials("ada  lovelace") == "A.L."
    assert initials("Jean-luc picard") == "J-L.P."
    assert initials("\t émile  zola \n") == "É.Z."
    assert initials("anna-maria-luise von und zu") == "A-M-L.V.U.Z."
    assert initials("") == initials("  ") == ""


def _initials_without_particles(space: Namespace) -> None:
    _initials(space)
    initials = space["initials"]
    particles = frozenset({"van", "de", "la"})
    assert initials("Ludwig Van Beethoven", frozenset({"van"})) == "L.B."
    assert initials("van de la Rey", particles) == "V.R."
    assert initials("Vanessa DE vanGogh", particles) == "V.V."
    assert initials("Jan van-de Velde", particles) == "J.V-D.V."
    assert initials("", particles) == ""


def _diff_stock(space: Namespace) -> None:
    old, new = {"nut": 4, "bolt": 2, "pin": 1}, {"bolt": 5, "pin": 1, "axle": 3}
    before = copy.deepcopy((old, new))
    diff = space["diff_stock"](old, new)
    assert list(diff.items()) == [("axle", 3), ("bolt", 3), ("nut", -4)]
    assert (old, new) == before
    assert space["diff_stock"]({}, {}) == space["diff_stock"]({"a": 0}, {}) == {}
    assert space["total_change"](diff) == 10
    assert space["total_change"]({}) == 0


def _apply_diff(space: Namespace) -> None:
    apply_diff = space["apply_diff"]
    stock, diff = {"nut": 4, "bolt": 2, "pin": 1}, {"nut": -4, "axle": 3, "bolt": 3}
    before = copy.deepcopy((stock, diff))
    assert list(apply_diff(stock, diff).items()) == [("axle", 3), ("bolt", 5), ("pin", 1)]
    assert (stock, diff) == before
    assert apply_diff({"a": 0}, {}) == {}
    for bad in ({"nut": -5}, {"cog": -1}):
        with pytest.raises(ValueError):
            apply_diff(stock, bad)


def _moving_average(space: Namespace) -> None:
    moving_average = space["moving_average"]
    assert moving_average([1, 2, 3, 4], 2) == [1.5, 2.5, 3.5]
    assert moving_average([1, 2, 6, -3, 9], 3) == [3, 5 / 3, 4]
    assert moving_average([5, 7], 1) == [5, 7]
    assert moving_average([5, 7], 2) == [6]
    assert moving_average([5, 7], 3) == moving_average([], 1) == []
    for window in (0, -1):
        with pytest.raises(ValueError):
            moving_average([1, 2], window)


def _moving_average_of_gaps(space: Namespace) -> None:
    _moving_average(space)
    moving_average = space["moving_average"]
    assert moving_average([1, None, 3, None, None], 2) == [1, 3, 3, None]
    assert moving_average([None, 0, None], 1) == [None, 0, None]
    assert moving_average([None, 2, 4, 9], 3) == [3, 5]
    assert moving_average([None], 2) == []
    with pytest.raises(ValueError):
        moving_average([None], 0)


def _merge_bookings(space: Namespace) -> None:
    merge_bookings = space["merge_bookings"]
    bookings = [(5, 7), (1, 4), (3, 5), (9, 10), (9, 10)]
    before = list(bookings)
    assert merge_bookings(bookings) == [(1, 5), (5, 7), (9, 10)]
    assert bookings == before
    assert merge_bookings([(1, 9), (2, 3), (4, 8)]) == [(1, 9)]
    assert merge_bookings([(3, 5), (1, 3)]) == [(1, 3), (3, 5)]
    assert merge_bookings([]) == []


def _free_slots(space: Namespace) -> None:
    _merge_bookings(space)
    free_slots = space["free_slots"]
    assert free_slots([(10, 12), (11, 14), (16, 17)], 8, 18, 1) == [(8, 10), (14, 16), (17, 18)]
    assert free_slots([(10, 12), (11, 14), (16, 17)], 8, 18, 2) == [(8, 10), (14, 16)]
    assert free_slots([], 8, 18, 10) == [(8, 18)]
    assert free_slots([], 8, 18, 11) == []
    assert free_slots([(1, 3), (6, 9), (17, 30), (40, 41)], 8, 18, 1) == [(9, 17)]
    assert free_slots([(0, 99)], 8, 18, 1) == free_slots([(8, 12), (12, 18)], 8, 18, 1) == []
    assert free_slots([(2, 3), (20, 22)], 8, 18, 1) == [(8, 18)]


def _parse_duration(space: Namespace) -> None:
    parse_duration = space["parse_duration"]
    good = {"1h30m": 5400, "45s": 45, "2h": 7200, "0h90m5s": 5405, "1h5s": 3605, "007m": 420}
    assert {text: parse_duration(text) for text in good} == good
    for bad in (
        "",
        "5",
        "h",
        "1m1h",
        "1h2h",
        "1.5h",
        "+1h",
        "1H",
        "1h\n",
        " 1h",
        "1h x",
        "\u0661m",
    ):
        with pytest.raises(ValueError):
            parse_duration(bad)


def _format_duration(space: Namespace) -> None:
    _parse_duration(space)
    parse_duration, format_duration = space["parse_duration"], space["format_duration"]
    good = {"-1h30m": -5400, "1h 30m": 5400, "-1h 2m 3s": -3723, "1h 2m3s": 3723, "1h 3s": 3603}
    assert {text: parse_duration(text) for text in good} == good
    for bad in ("-", "--1s", "- 1s", "1h  2m", "1h ", "1h-2m", "1 h", "1h 5"):
        with pytest.raises(ValueError):
            parse_duration(bad)
    shown = {
        0: "0s",
        59: "59s",
        60: "1m",
        3600: "1h",
        3661: "1h1m1s",
        7205: "2h5s",
        -5400: "-1h30m",
    }
    assert {seconds: format_duration(seconds) for seconds in shown} == shown
    some = range(-8000, 8000, 7)
    assert all(parse_duration(format_duration(seconds)) == seconds for seconds in some)


_LOG = ["10 search 200", "12 cart 500", "15 cart 404", "19 search 503", "20 ads 599", "20 cart 499"]
_BAD_LOG = ["", "oops", "21 cart", "x cart 500", "99 cart 5x0", "99 cart 500 1", "-99 cart 500"]


def _error_rates(space: Namespace) -> None:
    error_rates = space["error_rates"]
    rates = error_rates([*_BAD_LOG, *_LOG])
    assert list(rates) == ["ads", "cart", "search"]
    assert rates == pytest.approx({"ads": 1, "cart": 1 / 3, "search": 1 / 2})
    assert error_rates([]) == error_rates(_BAD_LOG) == {}


def _noisy_services(space: Namespace) -> None:
    noisy_services = space["noisy_services"]
    log = [*_BAD_LOG, *_LOG]
    assert noisy_services(log, 100, 0.0) == ["ads", "search", "cart"]
    assert noisy_services(log, 100, 0.5) == ["ads"]
    assert noisy_services(log, 8, 0.0) == ["ads", "search"]  # 12 = 20 - 8 is too old
    assert noisy_services(log, 9, 0.3) == ["ads", "search", "cart"]
    assert noisy_services(log, 1, 1.0) == noisy_services(_BAD_LOG, 5, 0.0) == []


def _value(number: str) -> int:
    total = 0
    for sign in number:
        total = 3 * total + {"-": -1, "0": 0, "+": 1}[sign]
    return total


def _to_balanced_ternary(space: Namespace) -> None:
    written = {n: space["to_balanced_ternary"](n) for n in range(-400, 400)}
    assert (written[5], written[0], written[-1], written[2]) == ("+--", "0", "-", "+-")
    assert all(_value(text) == n for n, text in written.items())
    assert all(text[0] != "0" for n, text in written.items() if n != 0)


def _add_balanced_ternary(space: Namespace) -> None:
    add = space["add_balanced_ternary"]
    numbers = ["".join(signs) for size in (1, 2, 3, 4) for signs in product("-0+", repeat=size)]
    for a, b in product(numbers, repeat=2):
        total = add(a, b)
        assert _value(total) == _value(a) + _value(b)
        assert total == "0" or total[0] != "0"
    for bad in ("", "+1", " +", "abc"):
        for pair in ((bad, "+"), ("+", bad)):
            with pytest.raises(ValueError):
                add(*pair)


def _run(space: Namespace) -> None:
    run = space["run"]
    good = {
        "2 3 4 * + dup": [14, 14],
        "10 3 -": [7],
        "1 2 swap": [2, 1],
        "5 6 drop": [5],
        " -3\n7\t+ ": [4],
        "": [],
    }
    assert {program: run(program) for program in good} == good
    for bad in ("+", "1 -", "dup", "drop", "1 swap", "2 sq", "1.5", "--2", "1 2 DUP"):
        with pytest.raises(ValueError):
            run(bad)


def _run_definitions(space: Namespace) -> None:
    _run(space)
    run = space["run"]
    good = {
        ": sq dup * ; : quad sq sq ; 3 quad": [81],
        ": a 1 ; : b a a ; : a 2 ; b a": [1, 1, 2],
        ": a 1 ; : a a a + ; a": [2],
        ": nothing ; 4 nothing": [4],
        ": pair 7 swap ;": [],
    }
    assert {program: run(program) for program in good} == good
    wrong_names = [": 5 1 ;", ": -5 1 ;", ": dup 1 ;", ": + 1 ;", ": : 1 ;", ": ; 1 ;"]
    wrong_bodies = [": a b ;", ": a a ;", ": a : b 1 ; ;", ": a 1", ":", ": a"]
    for bad in [*wrong_names, *wrong_bodies, "1 ;", "a : a 1 ;", ": add + ; 1 add"]:
        with pytest.raises(ValueError):
            run(bad)


Road = tuple[str, str, int]
Route = tuple[int, list[str]]

_ROADS: list[Road] = [
    *[("a", "b", 2), ("b", "c", 2), ("a", "c", 4), ("c", "d", 1), ("b", "d", 9), ("a", "b", 5)],
    *[("a", "e", 1), ("e", "d", 4), ("b", "e", 1), ("f", "g", 3)],
]


def _best_route(start: str, goal: str, max_roads: int) -> Route | None:
    """Try every sequence of different towns."""
    shortest: dict[tuple[str, str], int] = {}
    for a, b, length in _ROADS:
        for pair in ((a, b), (b, a)):
            shortest[pair] = min(length, shortest.get(pair, length))
    if start == goal:
        return 0, [start]
    found = []
    between = sorted({town for pair in shortest for town in pair} - {start, goal})
    for size in range(min(max_roads, len(between) + 1)):
        for towns in permutations(between, size):
            route = [start, *towns, goal]
            steps = [shortest.get(pair) for pair in pairwise(route)]
            if None not in steps:
                found.append((sum(step or 0 for step in steps), len(route), route))
    return (min(found)[0], min(found)[2]) if found else None


def _shortest_route(space: Namespace) -> None:
    shortest_route = space["shortest_route"]
    for start, goal in product("abcdefg", repeat=2):
        assert shortest_route(_ROADS, start, goal) == _best_route(start, goal, 9)
    assert shortest_route([], "x", "x") == (0, ["x"])
    assert shortest_route([], "x", "y") is None


def _route_with_limit(space: Namespace) -> None:
    shortest_route = space["shortest_route"]
    for start, goal, limit in product("abcdefg", "abcdefg", range(6)):
        found = shortest_route(_ROADS, start, goal, limit)
        assert found == _best_route(start, goal, limit)


def _fewest_stamps(space: Namespace) -> None:
    fewest_stamps = space["fewest_stamps"]
    assert fewest_stamps(12, [9, 6, 1]) == 2
    assert fewest_stamps(15, [9, 6, 1]) == 2
    assert fewest_stamps(10, [5, 4, 1]) == 2
    assert fewest_stamps(0, []) == fewest_stamps(0, [5]) == 0
    assert fewest_stamps(7, []) is fewest_stamps(7, [2, 4]) is fewest_stamps(3, [5]) is None
    large = [(n, m, 9_999 - 120 * n - 85 * m) for n in range(84) for m in range(118)]
    fewest = min(n + m + rest // 7 + rest % 7 for n, m, rest in large if rest >= 0)
    assert fewest_stamps(9_999, [1, 7, 85, 120]) == fewest


def _choose_stamps(space: Namespace) -> None:
    choose_stamps = space["choose_stamps"]
    stock = {1: 3, 4: 2, 5: 2, 6: 0, 9: 1, 7: 1}
    before = dict(stock)
    choices: dict[int, list[tuple[int, list[int]]]] = {}
    for counts in product(*(range(stock[value] + 1) for value in stock)):
        pairs = zip(stock, counts, strict=True)
        used = sorted((value for value, n in pairs for _ in range(n)), reverse=True)
        choices.setdefault(sum(used), []).append((-len(used), used))
    for amount in range(50):
        best = max(choices[amount])[1] if amount in choices else None
        assert choose_stamps(amount, stock) == best
    assert stock == before
    assert choose_stamps(0, {}) == []
    assert choose_stamps(3, {}) is None


CODE_CASES: dict[int, tuple[Case, Case]] = {
    1041: (_initials, _initials_without_particles),
    1042: (_diff_stock, _apply_diff),
    1043: (_moving_average, _moving_average_of_gaps),
    1044: (_merge_bookings, _free_slots),
    1045: (_parse_duration, _format_duration),
    1046: (_error_rates, _noisy_services),
    1047: (_to_balanced_ternary, _add_balanced_ternary),
    1048: (_run, _run_definitions),
    1049: (_shortest_route, _route_with_limit),
    1050: (_fewest_stamps, _choose_stamps),
}
