"""Check the references of the English questions on extraction (1051-1060) against their passage."""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from datetime import date, timedelta
from itertools import pairwise
from typing import Any

Check = Callable[[str, str], None]  # the question with the passage, the answer


def _minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def _crossings(passage: str, answer: str) -> None:
    expected = [
        ("Saint Brannoc", "Port Ellery", "Skerry", "07:15", "08:40"),
        ("Grey Heron", "Inch", "Skerry", "09:20", "10:10"),
        ("Maud Oakes", "Inch", "Port Ellery", "09:50", "12:05"),
    ]
    assert all(value in passage for crossing in expected for value in crossing)
    keys = ["ship", "from", "to", "departs", "arrives"]
    assert json.loads(answer) == [dict(zip(keys, row, strict=True)) for row in expected]
    assert expected == sorted(expected, key=lambda row: row[3])


def _crossings_with_minutes(passage: str, answer: str) -> None:
    rows = json.loads(answer)
    lengths = [_minutes(row["arrives"]) - _minutes(row["departs"]) for row in rows]
    assert [row.pop("minutes") for row in rows] == lengths == sorted(lengths) == [50, 85]
    assert [row["ship"] for row in rows] == ["Grey Heron", "Saint Brannoc"]
    maud_oakes = {"ship": "Maud Oakes", "from": "Inch", "to": "Port Ellery"}
    times = {"departs": "09:50", "arrives": "12:05"}  # 135 minutes, left out
    _crossings(passage, json.dumps([*reversed(rows), maud_oakes | times]))


_RECIPE: list[tuple[str, int, str]] = [
    ("butter", 40, "g"),
    ("leeks", 2, "piece"),
    ("potatoes", 350, "g"),
    ("stock", 900, "ml"),
    ("cream", 120, "ml"),
    ("dill", 16, "g"),
]


def _recipe(passage: str, answer: str) -> None:
    for item, amount, unit in _RECIPE:
        assert (f"{amount} {item}" if unit == "piece" else f"{amount} {unit} of {item}") in passage
    rows = [[item, str(amount), unit] for item, amount, unit in _RECIPE]
    assert list(csv.reader(answer.splitlines())) == [["item", "amount", "unit"], *rows]


def _recipe_for_ten(passage: str, answer: str) -> None:
    assert "for 4 people" in passage
    assert all(amount * 10 % 4 == 0 for _, amount, _ in _RECIPE)
    scaled = [(amount * 10 // 4, item, unit) for item, amount, unit in _RECIPE if unit != "piece"]
    rows = [[item, str(amount), unit] for amount, item, unit in sorted(scaled, reverse=True)]
    assert list(csv.reader(answer.splitlines())) == [["item", "amount", "unit"], *rows]


_TASKS: list[tuple[int, str, str, str]] = [  # day, person, words of the passage and of the task
    (5, "Bruno", "Until the 5th, Bruno has to return", "ladder"),
    (9, "Sam", "Sam, please order the stage lamps no later than the 9th", "lamps"),
    (12, "Helga", "Helga will get two quotes by 12 June", "quotes"),
    (20, "Helga", "form is due on the 20th, and that one is on Helga", "insurance"),
]


def _check_tasks(answer: str, expected: list[tuple[int, str, str]]) -> None:
    lines = answer.splitlines()
    for line, (day, person, word) in zip(lines, sorted(expected), strict=True):
        written_day, written_person, task = line.split(" | ")
        assert (written_day, written_person) == (str(day), person)
        assert word in task
        assert len(task.split()) <= 6


def _tasks(passage: str, answer: str) -> None:
    assert all(words in passage for _, _, words, _ in _TASKS)
    _check_tasks(answer, [(day, person, word) for day, person, _, word in _TASKS])


def _tasks_taken_over(passage: str, answer: str) -> None:
    changed = []
    for day, person, _, word in _TASKS:
        stand_in = "Amira" if day < 15 else "Bruno"
        later = 7 if word == "lamps" else 0
        changed.append((day + later, stand_in if person == "Helga" else person, word))
    _check_tasks(answer, changed)


def _invoice_lines(passage: str) -> list[dict[str, Any]]:
    found = re.findall(r"^(\d+) x (.+) @ ([\d.]+) \.+ ([\d.]+)$", passage, re.M)
    return [
        {
            "item": item,
            "quantity": int(quantity),
            "unit_price": float(price),
            "amount": float(amount),
        }
        for quantity, item, price, amount in found
    ]


def _stated_total(passage: str) -> float:
    return float(passage.split("TOTAL DUE ..........")[1])


def _invoice(passage: str, answer: str) -> None:
    lines = _invoice_lines(passage)
    assert len(lines) == 4
    assert "No. HB-2207 / Hallam & Bright Ltd, " in passage
    assert json.loads(answer) == {
        "number": "HB-2207",
        "supplier": "Hallam & Bright Ltd",
        "lines": lines,
        "stated_total": _stated_total(passage),
    }


def _invoice_check(passage: str, answer: str) -> None:
    lines = _invoice_lines(passage)
    correct = [round(line["quantity"] * line["unit_price"], 2) for line in lines]
    pairs = list(zip(lines, correct, strict=True))
    assert json.loads(answer) == {
        "wrong_lines": [line["item"] for line, amount in pairs if line["amount"] != amount],
        "correct_total": round(sum(correct), 2),
        "overcharge": round(_stated_total(passage) - sum(correct), 2),
    }


def _readings(passage: str) -> list[tuple[str, str, float]]:
    found = re.findall(r"(\w{3}) (\w+) ([\d.]+)([CF])(\?)?", passage)
    return [
        (day, station, round(float(number) if unit == "C" else (float(number) - 32) / 1.8, 1))
        for day, station, number, unit, doubt in found
        if not doubt
    ]


def _temperatures(passage: str, answer: str) -> None:
    rows = [f"{day},{station},{celsius:.1f}" for day, station, celsius in _readings(passage)]
    assert len(rows) == 10
    assert answer.splitlines() == ["day,station,celsius", *rows]


def _stations(passage: str, answer: str) -> None:
    stations: dict[str, list[float]] = {}
    for _, station, celsius in sorted(_readings(passage), key=lambda reading: reading[1]):
        stations.setdefault(station, []).append(celsius)
    rows = [f"{name},{len(t)},{min(t):.1f},{max(t):.1f}" for name, t in stations.items()]
    widest = max(stations, key=lambda name: max(stations[name]) - min(stations[name]))
    assert answer.splitlines() == ["station,readings,lowest,highest", *rows, f"widest,{widest}"]


_EMAIL = re.compile(r"[\w.]+@[\w.]+\.example")
_PHONE = re.compile(r"\+?\d(?:[ -]?\d){9,}")


def _contacts(passage: str, answer: str) -> None:
    phones = [re.sub(r"\D", "", phone) for phone in _PHONE.findall(passage)]
    assert len(phones) == 3
    assert json.loads(answer) == {"emails": _EMAIL.findall(passage), "phones": phones}


def _redacted(passage: str, answer: str) -> None:
    message = passage.split("\n\n")[1].strip('"')
    message = _PHONE.sub("[PHONE]", _EMAIL.sub("[EMAIL]", message))
    assert answer == re.sub(r"\b(Lena|Tom)\b", "[NAME]", message)


_PERIODS: list[tuple[int, str, int, str, str]] = [  # the last are the words of the passage
    (2, "buyer", 10, "signing", "Within ten days of signing, the Buyer"),
    (3, "seller", 42, "signing", "Seller delivers the press no later than six weeks after signing"),
    (4, "buyer", 5, "delivery", "within 5 days of delivery"),
    (5, "seller", 14, "complaint", "After a complaint, the Seller has 14 days"),
    (6, "buyer", 30, "delivery", "by the Buyer within thirty days of delivery"),
]


def _periods(passage: str, answer: str) -> None:
    assert all(words in passage for *_, words in _PERIODS)
    keys = ["section", "party", "days", "from"]
    assert json.loads(answer) == [dict(zip(keys, row[:4], strict=True)) for row in _PERIODS]


def _deadlines(passage: str, answer: str) -> None:
    start = {
        "signing": date(2031, 3, 14),
        "delivery": date(2031, 4, 22),
        "complaint": date(2031, 4, 26),
    }
    days = {section: start[event] + timedelta(n) for section, _, n, event, _ in _PERIODS}
    written: dict[str, Any] = {str(section): str(day) for section, day in days.items()}
    assert json.loads(answer) == written | {"delivered_in_time": start["delivery"] <= days[3]}


def _messages(passage: str) -> list[tuple[str, str, str]]:
    found = re.findall(r"^\[(\d\d:\d\d)\] (\w+): (.+)$", passage, re.M)
    return [(time, name, text) for time, name, text in found if text != "(deleted)"]


def _message_counts(passage: str, answer: str) -> None:
    counts = Counter(name for _, name, _ in _messages(passage))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    assert answer.splitlines() == [f"{name}: {number}" for name, number in ordered]


def _chat_questions(passage: str, answer: str) -> None:
    messages = _messages(passage)
    lines, answered = [], []
    for (time, name, text), following in pairwise(messages):
        if "?" in text:
            last_word = re.findall(r"\w+", text)[-1]
            lines.append(f"{time} | {name} | {last_word.lower()}")
            answered += [time] if following[1] != name else []
    assert "?" not in messages[-1][2]  # the loop does not see the last one
    assert answer.splitlines() == [*lines, f"answered: {', '.join(answered)}"]


_BRIDGES: list[tuple[str, int, int, str]] = [
    ("Tanner's Arch", 1791, 38, "sandstone"),
    ("Viaduct", 1846 + 1, 212, "brick"),
    ("Mill Footbridge", 1931 - 2, 54, "steel"),
    ("Corn Bridge", 1931, 96, "concrete"),
    ("Orchard Bridge", 2004, 212 - 12, "steel"),
]


def _check_bridges(answer: str, bridges: list[tuple[str, int, int, str]]) -> None:
    header, rule, *rows = answer.splitlines()
    assert header == "| Bridge | Opened | Length (m) | Material |"
    assert set(rule) <= set("| -")
    ordered = sorted(bridges, key=lambda bridge: bridge[1])
    assert rows == [f"| {' | '.join(map(str, bridge))} |" for bridge in ordered]


def _bridges(passage: str, answer: str) -> None:
    stated = ["1791", "38 metres", "1846", "212 metres", "1931", "54 metres", "96 metres", "2004"]
    assert all(words in passage for words in [*stated, "twelve metres shorter", "two years before"])
    assert all(name in passage and material in passage for name, _, _, material in _BRIDGES)
    _check_bridges(answer, _BRIDGES)


def _new_bridge(passage: str, answer: str) -> None:
    half = next(year for year in range(1931, 2200) if 2 * (year - 1931) == year - 1847)
    steel = sum(length for _, _, length, material in _BRIDGES if material == "steel")
    _check_bridges(answer, [*_BRIDGES, ("Quay Bridge", half + 5, steel // 2, "wood")])
    assert steel % 2 == 0


_LABEL = r"\b[A-Z]{2}-[0-9]{3}[a-c]?\b"


def _labels(passage: str, answer: str) -> None:
    notes = passage.split("\n\n")[1]
    assert answer.splitlines() == list(dict.fromkeys(re.findall(_LABEL, notes)))


def _labels_by_prefix(passage: str, answer: str) -> None:
    notes = passage.split("\n\n")[1]
    labels = sorted(set(re.findall(_LABEL, notes)))
    discarded = {
        label for label in labels if re.search(rf"discarded {label}\b|{label} disc", notes)
    }
    expected: dict[str, dict[str, list[str]]] = {}
    for label in labels:
        group = expected.setdefault(label[:2], {"kept": [], "discarded": []})
        group["discarded" if label in discarded else "kept"].append(label)
    assert json.loads(answer) == expected
    assert list(json.loads(answer)) == list(expected)


EXTRACTED: dict[int, tuple[Check, Check]] = {
    1051: (_crossings, _crossings_with_minutes),
    1052: (_recipe, _recipe_for_ten),
    1053: (_tasks, _tasks_taken_over),
    1054: (_invoice, _invoice_check),
    1055: (_temperatures, _stations),
    1056: (_contacts, _redacted),
    1057: (_periods, _deadlines),
    1058: (_message_counts, _chat_questions),
    1059: (_bridges, _new_bridge),
    1060: (_labels, _labels_by_prefix),
}
