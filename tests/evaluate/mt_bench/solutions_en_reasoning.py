"""Find the answers of the English questions on reasoning (1021-1030) by trying everything."""

from collections.abc import Callable, Iterable
from functools import cache
from itertools import chain, combinations, permutations, product
from typing import Literal, NamedTuple

Solve = Callable[[], str]


def _queue() -> list[str]:
    (order,) = (
        order
        for order in permutations(["Nat", "Kim", "Lou", "Mia"])
        if order.index("Nat") + 1 == order.index("Kim")
        and order.index("Kim") < order.index("Lou") < order.index("Mia")
    )
    return list(order)


def _queue_with_ola() -> list[str]:
    *first, last = (name for name in _queue() if name != "Kim")
    return [*first, "Ola", last]


def _third(order: list[str]) -> str:
    return f"{order[2]} ({', '.join(order)})"


_COMPASS = ["north", "east", "south", "west"]


def _walk(x: int, y: int, heading: int, right: Literal["L", "R"]) -> tuple[int, int, int]:
    """Carry out the list; `right` is the letter at which the robot turns right."""
    for step in ["F3", "R", "F2", "R", "F5", "L", "F4", "L", "F1"]:
        if step[0] == "F":
            dx, dy = [(0, 1), (1, 0), (0, -1), (-1, 0)][heading]
            x, y = x + int(step[1:]) * dx, y + int(step[1:]) * dy
            continue
        heading = (heading + (1 if step == right else -1)) % 4
    return x, y, heading


def _place(end: tuple[int, int, int]) -> str:
    x, y, heading = end
    return f"({x}, {y}), facing {_COMPASS[heading]}"


class _Event(NamedTuple):
    """The rosin is at `place`: who learns it, and of whom do they know that he learns it too?"""

    place: str
    learners: str  # initials
    known: str = ""  # pairs of initials: the first knows that the second learns it


_BENCH = _Event("piano bench", "NOP", "NO NP ON OP PN PO")
_DRAWER = _Event("drawer", "OP", "PO")  # Omar does not notice Priya
_MESSAGE = _Event("drawer", "N", "ON NO")
_HAT_BOX = _Event("hat box", "P")


def _beliefs(*events: _Event) -> dict[str, str]:
    """Map a person to the place believed, and a pair to the belief that one has of the other."""
    return {who: event.place for event in events for who in [*event.learners, *event.known.split()]}


def _searches() -> str:
    beliefs = _beliefs(_BENCH, _DRAWER, _HAT_BOX)
    places = "(a) Nadia: {N}, Omar: {O}, Priya: {P}; (b) {ON}; (c) {PO}"
    return places.format(**beliefs)


def _searches_with_message() -> str:
    return "(a) {N}; (b) {ON}; (c) {PN}".format(**_beliefs(_BENCH, _DRAWER, _MESSAGE, _HAT_BOX))


_WEEK = [
    "Tuesday",
    "Wednesday",
    "Thursday",
    "Friday",
    "Saturday",
    "Sunday",
    "Monday",
]  # day 0 first


def _weekday(day: int) -> str:
    return _WEEK[day % 7]


def _due(borrowed: int) -> int:
    day = borrowed + 18
    while _weekday(day) in ("Sunday", "Monday"):
        day += 1
    return day


def _first_due() -> str:
    assert (_weekday(1), _weekday(9)) == ("Wednesday", "Thursday")
    return f"{_weekday(_due(9))} the {_due(9)}th"


def _due_and_fine() -> str:
    due = _due(25)
    assert _weekday(25) == "Saturday"
    back = next(day for day in range(due + 1, due + 8) if _weekday(day) == "Saturday")
    open_days = [day for day in range(due + 1, back + 1) if _weekday(day) not in _WEEK[5:]]
    return f"{_weekday(due)} the {due - 30}th, fine {0.2 * len(open_days):.2f}"


def _kinds(wes: Callable[[bool, bool], bool]) -> str:
    (kinds,) = (
        (u, v, w)
        for u, v, w in product([True, False], repeat=3)
        if (u, v, w) == (w != u, u + v + w == 2, wes(u, v))
    )
    called = {True: "truth-teller", False: "liar"}
    return "Uma: {}, Vic: {}, Wes: {}".format(*(called[kind] for kind in kinds))


class _Parcel(NamedTuple):
    name: str
    grams: int
    fragile: bool
    insured_for: int | None
    member: bool


_P = _Parcel("P", 1500, False, None, True)
_Q = _Parcel("Q", 4200, True, 38, False)
_R = _Parcel("R", 3000, True, None, True)
_S = _Parcel("S", 6100, False, 51, True)


def _before_discount(parcel: _Parcel) -> int:
    price = 4 + 3 * max(0, -(-(parcel.grams - 2000) // 1000))
    if parcel.insured_for is None:
        return price + 5 * parcel.fragile
    return price + -(-parcel.insured_for // 10)


def _first_price(parcel: _Parcel) -> int:
    price = _before_discount(parcel)
    return max(6, price // 2 if parcel.member and not parcel.fragile else price)


def _second_price(parcel: _Parcel) -> int:
    price = max(6, _before_discount(parcel))
    discount = parcel.member and (not parcel.fragile or parcel.insured_for is not None)
    return -(-price // 2) if discount else price


def _prices(price: Callable[[_Parcel], int], *parcels: _Parcel) -> str:
    return ", ".join(f"{parcel.name} {price(parcel)}" for parcel in parcels)


_TASKS = {  # minutes, and what must be done before
    "chop": (15, ""),
    "fry": (10, "chop"),
    "sauce": (20, "chop"),
    "rice": (25, ""),
    "table": (30, ""),
    "plates": (5, "fry sauce rice"),
}


def _shortest_dinner(people: int) -> str:
    """Try every order of the tasks with every division among the people."""
    divisions = list(product(range(people), repeat=len(_TASKS)))
    orders = [order for order in permutations(_TASKS) if _is_allowed(order)]
    return f"{min(_duration(o, d) for o in orders for d in divisions)} minutes"


def _is_allowed(order: tuple[str, ...]) -> bool:
    return all(set(_TASKS[task][1].split()) <= set(order[:k]) for k, task in enumerate(order))


def _duration(order: tuple[str, ...], division: tuple[int, ...]) -> int:
    done: dict[str, int] = {}
    free = dict.fromkeys(division, 0)
    for task, person in zip(order, division, strict=True):
        minutes, before = _TASKS[task]
        start = max([free[person], *(done[other] for other in before.split())])
        free[person] = done[task] = start + minutes
    return max(done.values())


class _Being(NamedTuple):
    baker: bool
    early: bool
    night: bool
    choir: bool


World = tuple[_Being, ...]


def _statements(world: World) -> dict[str, bool]:
    return {
        "A": not any(x.baker and x.night for x in world),
        "B": any(x.baker and x.choir for x in world),
        "C": all(x.early for x in world if x.choir),
        "D": any(x.choir and not x.baker for x in world),
        "E": all(x.baker for x in world if x.early),
    }


@cache
def _worlds() -> list[World]:
    """Return every mixture of kinds of people that the first premises permit."""
    kinds = [_Being(*bits) for bits in product([True, False], repeat=4)]
    kinds = [x for x in kinds if x.early >= x.baker and not (x.early and x.night)]
    mixtures = chain.from_iterable(combinations(kinds, k) for k in range(len(kinds) + 1))
    return [w for w in mixtures if any(x.baker for x in w) and any(x.choir and x.night for x in w)]


def _sort_statements(worlds: Iterable[World]) -> str:
    judged = [_statements(world) for world in worlds]
    values = {letter: {found[letter] for found in judged} for letter in "ABCDE"}
    cases = [("must be true", {True}), ("must be false", {False}), ("may be either", {True, False})]
    return "; ".join(
        f"{case}: {', '.join(letter for letter in values if values[letter] == truth)}"
        for case, truth in cases
    )


def _more_premises(world: World) -> bool:
    return all(x.baker or x.night for x in world if x.choir) and any(
        x.early and x.choir for x in world
    )


_OLD_HINTS = [("324", 1, 0), ("382", 1, 0), ("195", 0, 0)]  # digits in the code, in their place


def _code(last: tuple[str, int, int]) -> str:
    (code,) = (
        "".join(code)
        for code in permutations("123456789", 3)
        if all(
            len(set(code) & set(guess)) == digits
            and sum(a == b for a, b in zip(code, guess, strict=True)) == places
            for guess, digits, places in [*_OLD_HINTS, last]
        )
    )
    return code


def _buttons(wanted: set[int]) -> list[int]:
    """Return the one set of buttons that leaves just the `wanted` lamps on."""
    (buttons,) = (
        buttons
        for size in range(7)
        for buttons in combinations(range(1, 7), size)
        if {lamp for lamp in range(1, 7) if sum(abs(lamp - b) <= 1 for b in buttons) % 2} == wanted
    )
    return list(buttons)


def _named(buttons: list[int]) -> str:
    return f"buttons {', '.join(map(str, buttons))}"


def _all_lamps() -> str:
    buttons = _buttons(set(range(1, 7)))
    return f"{len(buttons)} presses, {_named(buttons)}"


REASONING: dict[int, tuple[Solve, Solve]] = {
    1021: (lambda: _third(_queue()), lambda: _third(_queue_with_ola())),
    1022: (
        lambda: _place(_walk(0, 0, 0, "R")),
        lambda: _place(_walk(*_walk(0, 0, 0, "R"), "L")),
    ),
    1023: (_searches, _searches_with_message),
    1024: (_first_due, _due_and_fine),
    1025: (lambda: _kinds(lambda u, v: not (u and v)), lambda: _kinds(lambda u, v: u == v)),
    1026: (
        lambda: _prices(_first_price, _P, _Q, _R, _S),
        lambda: _prices(_second_price, _P, _Q, _R._replace(insured_for=15), _S),
    ),
    1027: (lambda: _shortest_dinner(3), lambda: _shortest_dinner(2)),
    1028: (
        lambda: _sort_statements(_worlds()),
        lambda: _sort_statements(filter(_more_premises, _worlds())),
    ),
    1029: (lambda: _code(("758", 2, 2)), lambda: _code(("758", 2, 1))),
    1030: (_all_lamps, lambda: _named(_buttons({1}))),
}
