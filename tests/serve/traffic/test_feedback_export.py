"""Feedback becomes data that the project's own stages read, every row of it."""

import json
from pathlib import Path
from typing import Any

import pytest

from loraflow.data.read.layouts import detect_layout
from loraflow.files import read_lines
from loraflow.serve.traffic.export import Exported, export_feedback
from loraflow.serve.traffic.log import Exchange
from loraflow.serve.traffic.table import reading
from tests.conftest import composed
from tests.data.sources import prepared, rows_of
from tests.serve.traffic.made_traffic import START, Said, exchange, simulated, write_log


def export(tmp_path: Path, exchanges: list[Exchange], ratings: list[Said]) -> Exported:
    path = write_log(tmp_path / "log.db", exchanges, ratings)
    with reading(path) as table:
        return export_feedback(table, tmp_path / "反馈")


def said(id: str, rating: str | None, better: str = "") -> Said:
    return Said(id, START, rating, "", better)


def texts(found: Exported) -> list[tuple[str, str]]:
    rows = read_lines(found.pairs_file)
    return [(row["chosen"][0]["content"], row["rejected"][0]["content"]) for row in rows]


def kto(found: Exported) -> list[tuple[str, bool]]:
    rows = read_lines(found.kto_file)
    return [(row["messages"][-1]["content"], row["kto_tag"]) for row in rows]


def test_what_a_user_wrote_is_better_than_what_he_got(tmp_path: Path) -> None:
    found = export(tmp_path, [exchange("a", answer="坏")], [said("a", "down", better=" 好 ")])
    assert texts(found) == [("好", "坏")]
    assert kto(found) == [("坏", False)]
    assert (found.pairs, found.up, found.down, found.left_out) == (1, 0, 1, {})


def test_a_wish_without_a_thumb_makes_a_pair_and_no_rating(tmp_path: Path) -> None:
    found = export(tmp_path, [exchange("a", answer="坏")], [said("a", None, better="好")])
    assert (texts(found), kto(found)) == ([("好", "坏")], [])


def test_one_conversation_answered_twice_makes_a_pair(tmp_path: Path) -> None:
    """By split arms, or tried again: a thumb up against each thumb down."""
    answers = [
        exchange("a", answer="一"),
        exchange("b", answer="二", arm="candidate"),
        exchange("c", answer="三", at=START + 1),
        exchange("d", answer="四", messages=[{"role": "user", "content": "别的？"}]),
    ]
    ratings = [said("a", "down"), said("b", "up"), said("c", "down"), said("d", "down")]
    assert sorted(texts(export(tmp_path, answers, ratings))) == [("二", "一"), ("二", "三")]


def test_the_latest_rating_counts(tmp_path: Path) -> None:
    found = export(tmp_path, [exchange("a")], [said("a", "down"), said("a", "up")])
    assert kto(found) == [("在的。", True)]


def test_users_who_disagree_say_nothing_together(tmp_path: Path) -> None:
    answers = [exchange(name, at=START + place) for place, name in enumerate("abcde")]
    found = export(tmp_path, answers[:2], [said("a", "up"), said("b", "down")])
    assert kto(found) == []
    assert found.left_out == {"as many thumbs up as down": 1}
    (tmp_path / "log.db").unlink()
    ratings = [said(name, "up" if name in "ab" else "down") for name in "abcde"]
    assert kto(export(tmp_path, answers, ratings)) == [("在的。", False)]  # one row


def test_what_is_no_answer_is_left_out_and_counted(tmp_path: Path) -> None:
    answers = [
        exchange("a", finish="cancelled"),
        exchange("b", finish="failed"),
        exchange("c", answer="  \n"),
        exchange("d", answer="长到被截", finish="length", messages=talk("d?")),
        exchange("e", answer="长到被截", finish="length", messages=talk("e?")),
        exchange("f", messages=[*talk("f?"), *talk("g?")]),  # nobody answered the first
        exchange("h", answer=" H?", messages=talk("h?")),  # an echo
        exchange("i", messages=talk("")),
    ]
    ratings = [said(one.id, "down", better="好") for one in answers]
    ratings[3:5] = [said("d", "up"), said("e", "down")]
    found = export(tmp_path, answers, ratings)
    assert kto(found) == [("长到被截", False)]  # whoever goes on for too long is bad; never good
    assert texts(found) == [("好", " H?")]
    assert sum(found.left_out.values()) == 9
    assert found.left_out["cancelled"] == found.left_out["failed"] == 1
    assert found.left_out["empty answer"] == found.left_out["cut at its limit, thumb up"] == 1


def test_equal_and_opposite_pairs_are_no_two_rows(tmp_path: Path) -> None:
    answers = [exchange("a", answer="一"), exchange("b", answer="一", at=START + 1)]
    ratings = [said("a", "down", better="二"), said("b", "down", better="二")]
    assert texts(export(tmp_path, answers, ratings)) == [("二", "一")]
    (tmp_path / "log.db").unlink()
    answers[1] = exchange("b", answer="二", at=START + 1)
    ratings = [said("a", None, better="二"), said("b", None, better="一")]
    found = export(tmp_path, answers, ratings)
    assert texts(found) == []
    assert found.left_out == {"pair whose opposite is there too": 2}


def test_the_same_answer_wished_for_is_no_pair(tmp_path: Path) -> None:
    found = export(tmp_path, [exchange("a", answer="同")], [said("a", None, better="同 ")])
    assert found.pairs == 0
    assert found.left_out == {"not two answers": 1}


def test_nothing_said_makes_empty_files(tmp_path: Path) -> None:
    found = export(tmp_path, [exchange("a")], [])
    assert found.pairs_file.read_bytes() == found.kto_file.read_bytes() == b""


def test_out_may_be_a_file(tmp_path: Path) -> None:
    path = write_log(tmp_path / "log.db", [exchange("a")], [said("a", "up")])
    with reading(path) as table:
        found = export_feedback(table, tmp_path / "neu" / "mine.jsonl")
    assert found.pairs_file == tmp_path / "neu" / "mine.jsonl"
    assert found.kto_file == tmp_path / "neu" / "mine.kto.jsonl"


def distinct(count: int) -> tuple[list[Exchange], list[Said]]:
    """Long talks, no two alike, in all the shapes that clients send."""
    exchanges, ratings = [], []
    for number in range(count):
        system = [{"role": "developer", "content": "简短。"}] if number % 3 == 0 else []
        earlier = [*talk(f"先问 {number}"), {"role": "assistant", "content": f"先答 {number * 7}"}]
        messages = [*system, *(earlier if number % 2 else []), *talk(f"第 {number**3} 个问题？")]
        answer = f"Human: 我的答案是 {number * 31} 🙂\n\nAssistant: {'x' * (number % 5)}"
        id = f"id-{number}"
        exchanges.append(exchange(id, messages=messages, answer=answer, at=START + number))
        better = f'更好的回答 {number * 17}，"引号"' if number % 2 else ""
        ratings.append(said(id, "down" if number % 4 else "up", better))
    return exchanges, ratings


@pytest.mark.parametrize(
    ("file", "layout", "words"),
    [
        ("pairs_file", "preference", ["train=preference"]),
        ("kto_file", "kto", ["train=sft"]),
    ],
)
def test_every_row_is_read_and_kept_by_the_data_stages(
    file: str, layout: str, words: list[str], tmp_path: Path
) -> None:
    exchanges, ratings = distinct(40)
    found = export(tmp_path, exchanges, ratings)
    path = getattr(found, file)
    rows = read_lines(path)
    assert len(rows) == {"pairs_file": 20, "kto_file": 40}[file]
    assert detect_layout(rows, {}) == layout
    config = composed(
        *words,
        *["data=file", f"data.path='{path}'", "data.min_train_rows=1"],
        "data.split.held_out_rows=4",
    )
    summary = prepared(config.data, tmp_path / "out")
    counts = summary["counts"]
    assert (counts["read"], counts["rejected"]) == (len(rows), 0), summary["rejected_by"]
    assert counts["train"] + counts["held_out"] + counts["unused"] == len(rows)
    kept = [row for side in ("train", "held_out") for row in rows_of(tmp_path / "out", side)]
    assert {row["messages"][-1]["content"] for row in kept} == {_learned(row) for row in rows}


def test_simulated_traffic_gives_the_same_bytes_again(tmp_path: Path) -> None:
    exchanges, ratings = simulated(120, gain=0.1)
    first = export(tmp_path, exchanges, ratings)
    before = (first.pairs_file.read_bytes(), first.kto_file.read_bytes())
    assert first.pairs > 5 and first.up + first.down > 3
    again = export(tmp_path, [], [])
    assert (again.pairs_file.read_bytes(), again.kto_file.read_bytes()) == before
    assert all(json.loads(line)["prompt"] for line in before[0].splitlines())


def talk(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def _learned(row: dict[str, Any]) -> str:
    last = row["chosen"][-1] if "chosen" in row else row["messages"][-1]
    return str(last["content"]).strip()
