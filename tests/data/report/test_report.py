"""The page says what the files say, whatever they hold, and needs nothing but itself."""

import json
import re
from pathlib import Path

import pytest

from loraflow.data.tables import Row
from loraflow.model.source import BaseModel
from tests.data.report_pages import NO_LEAK, Data, Outline, number, row, set_aside, text_of


@pytest.fixture
def data(tiny_base: BaseModel) -> Data:
    """Three rows to train on, one held out, five set aside, one cut too long."""
    kept = row(1, "家父是大理寺少卿", "甄远道。")
    return Data(
        tiny_base,
        train=[kept, row(2, "Who are you?", "A 龘."), row(3, "你是谁？", "a" * 30)],
        held_out=[row(4, "Name the key.", "value")],
        rejected=[
            set_aside(5, "json", "cut off", '{"instruction": "'),
            set_aside(6, "exact_duplicates", {"same_as": "a.json line 1"}, as_read(kept)),
            set_aside(
                7,
                "near_duplicates",
                {"same_as": "a.json line 1", "similarity": 0.93},
                as_read(row(7, "家父是大理寺少卿", "甄嬛道。")),
            ),
            set_aside(8, "near_duplicates", {"same_as": "a.json line 2", "similarity": 0.9}),
            set_aside(9, "length", {"answer_characters": 2}),
        ],
        edited={"whitespace": 2},
    )


def as_read(kept: Row) -> str:
    question, answer = (message["content"] for message in kept.record.messages)
    return json.dumps({"instruction": question, "input": "", "output": answer}, ensure_ascii=False)


def test_the_steps_add_up_to_the_rows_that_are_ready(data: Data, tmp_path: Path) -> None:
    data.too_long = [set_aside(3, "max_length", {"tokens": 99})]
    html = data.page(tmp_path)
    _, first, *steps = Outline(html).tables["steps"]
    rows = number(first[2])
    assert rows == 9
    for _, _, go_on, gone, _ in steps:
        rows -= number(gone)
        assert number(go_on) == rows
    assert rows == 3
    assert [cells[0] for cells in steps][:3] == ["json", "whitespace", "exact_duplicates"]
    assert number(steps[1][4]) == 2
    assert "3 of 9 rows are ready" in text_of(html)
    assert "1 more step let every row pass as it was: leak" in text_of(html)


def test_counts_and_reasons_are_those_of_the_files(data: Data, tmp_path: Path) -> None:
    text = text_of(data.page(tmp_path))
    assert "No row is lost: 3 + 1 + 5 + 0 = 9 read." in text
    assert "5 rows of 9 (55.6%) did not get through" in text
    assert "a.json line 9 found answer characters 2 allowed allowed" in text
    assert "问题8" in text


def test_rows_that_do_not_add_up_are_called_missing(data: Data, tmp_path: Path) -> None:
    data.changes["counts"] = {"read": 10, "train": 3, "held_out": 1, "unused": 0, "rejected": 5}
    assert "Rows are missing" in text_of(data.page(tmp_path))


def test_padding_is_counted_exactly(data: Data, tmp_path: Path) -> None:
    html = data.page(tmp_path)
    lengths = [len(data.encode(row)["input_ids"]) for row in data.train]
    for order in (lengths, sorted(lengths, reverse=True)):
        batches = [order[:2], order[2:]]
        positions = sum(max(batch) * len(batch) for batch in batches)
        share = f"{100 * (positions - sum(lengths)) / positions:.1f}%"
        assert f"{share} padding" in text_of(html)
        assert f"{positions:,} positions" in html


def test_copies_stand_beside_the_row_that_stays(data: Data, tmp_path: Path) -> None:
    html = data.page(tmp_path)
    text = text_of(html)
    assert "1 row is a copy of an earlier row word for word, 2 rows nearly so" in text
    assert "The largest of 2 groups" in text
    assert text.index("a.json line 1 家父") < text.index("a.json line 2 Who")  # two copies, one
    assert "a.json line 6 the same text, character by character" in text
    assert "a.json line 7, 93.0% alike" in text
    assert "甄<del>远</del><ins>嬛</ins>道。" in html


def test_chinese_characters_of_the_preview_are_whole(data: Data, tmp_path: Path) -> None:
    html = data.page(tmp_path)
    tokens = re.findall(r"<span[^>]* title=\"(?:special )?tokens?[^\"]*\">([^<]*)</span>", html)
    assert "家父是大理寺少卿⏎\n甄远道。" in "".join(tokens)
    assert "\ufffd" not in html
    assert re.search(r"title=\"tokens \d+ \d+ .*'龘'\">龘<", html)  # unknown to the tokenizer
    assert re.search(r"class=\"s l\" title=\"special token \d+ '&lt;\|im_end\|&gt;'\"", html)


def test_data_cannot_become_part_of_the_page(data: Data, tmp_path: Path) -> None:
    evil = "\"'><script>alert(1)</script><img src=x onerror=alert(1)>{{ 7 * 7 }}"
    bad = json.dumps({evil: evil, "output": evil})
    data.train = [row(1, evil, evil, kind="classify", label=evil), *data.train]
    data.rejected = [
        set_aside(2, evil, {evil: evil}, bad),
        set_aside(3, "near_duplicates", {"same_as": "a.json line 1", "similarity": 0.9}, bad),
    ]
    data.edited = {evil: 1}
    where = {"operator": evil, "source": evil, "line": 1}
    example = {"train": evil, "found": evil, "text": evil}
    data.changes = {
        "edits": [{**where, "before": evil, "after": evil.upper()}],
        "sources": [{"name": evil, "layout": evil, "read": 6, "rejected": 2}],
        "leak": {
            **NO_LEAK,
            "prompt": 1,
            "examples": [example],
            "benchmarks": [{"name": evil, "questions": 3}],
        },
        "warnings": [evil],
        "negatives": {evil: 3},
    }
    html = data.page(tmp_path)
    outline = Outline(html)
    assert not {"script", "img"} & {tag for tag, _ in outline.tags}
    assert not [name for _, found in outline.tags for name in found if name.startswith("on")]
    assert "{{ 7 * 7 }}" in outline.text
    assert "alert(1)" in outline.text


def test_nothing_is_fetched_from_anywhere(data: Data, tmp_path: Path) -> None:
    data.train = [row(1, "see https://example.com/a.png", "ok"), *data.train]
    outline = Outline(html := data.page(tmp_path))
    links = [found.get(name) for _, found in outline.tags for name in ("src", "href", "srcset")]
    assert all(link is None or link.startswith("#") or link == "data:," for link in links)
    styles = html.partition("</style>")[0]
    assert not re.search(r"url\(|@import|https?:", styles)
    assert "default-src 'none'" in html


def test_the_same_outputs_give_the_same_bytes(data: Data, tmp_path: Path) -> None:
    one, other = data.page(tmp_path / "one"), data.page(tmp_path / "other")
    assert one == other
    assert str(tmp_path) not in one
    assert str(data.base.folder) not in one


def test_a_clean_run_says_so(tiny_base: BaseModel, tmp_path: Path) -> None:
    data = Data(tiny_base, train=[row(1, "Who?", "I.")], held_out=[row(2, "What?", "It.")])
    text = text_of(data.page(tmp_path))
    assert "2 of 2 rows are ready" in text
    assert "Every row that was read got through." in text
    assert "Every row that was kept is as it was read." in text
    assert "No row says what an earlier one says already" in text
    assert "Every prompt of the kept rows has one answer." in text
    assert "Every row fits into max_length = 64 tokens; none is cut." in text
    assert "✓ No leak found" in text
    assert "Labels" not in text
    assert "Read this first" not in text


def test_leaks_that_stay_are_called_out_in_words(data: Data, tmp_path: Path) -> None:
    data.changes["leak"] = {**NO_LEAK, "action": "report", "prompt": 1, "ngram_rows": 1}
    text = text_of(data.page(tmp_path))
    assert "✗ 2 rows leak 1 with the prompt of a test row, 1 with most of its text." in text
    assert "2 training rows may give away test questions" in text


def test_removed_leaks_are_no_alarm(data: Data, tmp_path: Path) -> None:
    data.changes["leak"] = {**NO_LEAK, "ngram_rows": 1, "answers_seen": 1}
    text = text_of(data.page(tmp_path))
    assert "✓ 1 row taken out" in text
    assert "1 held-out answer stands word for word" in text


def test_edits_are_marked(data: Data, tmp_path: Path) -> None:
    sample = {"operator": "whitespace", "source": "a.json", "line": 3}
    data.changes["edits"] = [{**sample, "before": "你好\u200b 吗", "after": "你好吗"}]
    html = data.page(tmp_path)
    assert "<del>[U+200B]·</del>" in html
    assert "2 rows 1 shown" in text_of(html)


def test_a_row_too_long_for_the_model_is_told_from_one_set_aside(
    data: Data, tmp_path: Path
) -> None:
    long = json.dumps([{"role": "user", "content": "长" * 900}])
    data.too_long = [set_aside(3, "max_length", {"tokens": 99}, long)]
    text = text_of(data.page(tmp_path))
    assert "1 row of train and held-out is longer than max_length = 64 tokens: 0 cut, 1" in text
    assert "长 … (+730 characters)" in text


def test_warnings_labels_and_half_characters_are_shown(data: Data, tmp_path: Path) -> None:
    data.train = [row(1, "good?", "yes", kind="kto", label="true"), *data.train]
    data.changes["warnings"] = ["a.json ends early"]
    text = text_of(data.page(tmp_path))
    assert "Read this first a.json ends early" in text
    assert "Labels, train and held-out" in text
    assert re.search(r"kto 20\.0% 1", text)


def test_half_a_surrogate_pair_does_not_stop_the_page(data: Data, tmp_path: Path) -> None:
    data.rejected = [set_aside(2, "unicode_text", "half", '{"output": "\\ud83d"}')]
    data.train = [row(1, "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"), "ok")]
    assert '{"output": "\\ud83d"}' in text_of(data.page(tmp_path))


def test_most_of_many_sources_are_summed_up(data: Data, tmp_path: Path) -> None:
    data.changes["sources"] = [
        {"name": f"part{n:03}.json", "layout": "alpaca", "read": 2, "rejected": 0}
        for n in range(50)
    ]
    text = text_of(data.page(tmp_path))
    assert "part019.json" in text
    assert "part020.json" not in text
    assert "and 30 more sources, 60 rows together" in text
