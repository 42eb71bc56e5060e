"""Base and tuned are compared item by item, and the table says what the items say."""

from pathlib import Path
from typing import Any

import pytest

from loraflow.compare.base_vs_tuned import Comparison, compare
from loraflow.compare.terminal import show_comparison
from loraflow.files import write_json, write_lines

METRICS = ["bleu", "rouge1", "rouge2", "rougeL", "loss", "perplexity", "cut_share"]


def write_arm(folder: Path, answers: list[str], losses: list[float], **metrics: float) -> Path:
    """Write what `evaluate` leaves: one item an answer, of 1, 2, 3, ... tokens."""
    folder.mkdir()
    rows: list[dict[str, Any]] = [
        {
            "id": str(number),
            "prompt": f"问 {number}",
            "reference": "好",
            "answer": answer,
            **dict.fromkeys(("rouge1", "rouge2", "rougeL"), float(answer == "好")),
            "loss": loss,
            "tokens": number,
        }
        for number, (answer, loss) in enumerate(zip(answers, losses, strict=True), start=1)
    ]
    write_lines(folder / "items.jsonl", rows)
    write_json(folder / "result.json", {"metrics": {**dict.fromkeys(METRICS, 0.0), **metrics}})
    return folder


@pytest.fixture
def comparison(tmp_path: Path) -> Comparison:
    base = write_arm(tmp_path / "base", ["坏", "好"], [3.0, 3.0], rouge1=0.5, loss=3.0)
    tuned = write_arm(tmp_path / "tuned", ["好", "好"], [3.0, 0.0], rouge1=1.0, loss=1.0)
    return compare(base, tuned)


def test_every_metric_of_both_arms_has_a_row(comparison: Comparison) -> None:
    assert [row.metric for row in comparison.rows] == METRICS
    values = {row.metric: (row.base, row.tuned) for row in comparison.rows}
    assert (values["rouge1"], values["loss"]) == ((0.5, 1.0), (3.0, 1.0))


def test_smaller_is_better_for_losses_and_cut_answers_alone(comparison: Comparison) -> None:
    smaller = [row.metric for row in comparison.rows if not row.larger_is_better]
    assert smaller == ["loss", "perplexity", "cut_share"]


def test_mean_difference_is_that_of_the_metrics(comparison: Comparison) -> None:
    for row in comparison.rows:
        if row.metric in ("rouge1", "loss"):
            assert row.difference is not None
            assert row.difference.mean == pytest.approx(row.tuned - row.base)


def test_loss_is_weighted_by_tokens(comparison: Comparison) -> None:
    # the second item has two of the three tokens: (1 * 0 + 2 * -3) / 3
    assert comparison.differences()["compare/loss_mean"] == pytest.approx(-2.0)


def test_metric_of_the_whole_set_has_no_interval(comparison: Comparison) -> None:
    without = [row.metric for row in comparison.rows if row.difference is None]
    assert without == ["bleu", "perplexity", "cut_share"]
    assert {row.interval() for row in comparison.rows if row.metric in without} == {"-"}


def test_differences_are_named_for_the_tracker(comparison: Comparison) -> None:
    expected = {
        f"compare/{metric}_{part}"
        for metric in ("rouge1", "rouge2", "rougeL", "loss")
        for part in ("mean", "low", "high")
    }
    assert set(comparison.differences()) == expected


def test_items_stand_side_by_side(comparison: Comparison) -> None:
    first = comparison.items[0]
    assert (first["prompt"], first["reference"]) == ("问 1", "好")
    assert (first["base_answer"], first["tuned_answer"]) == ("坏", "好")
    assert (first["base_rouge1"], first["tuned_rouge1"]) == (0.0, 1.0)
    assert [item["id"] for item in comparison.items] == ["1", "2"]


def test_markdown_has_a_line_for_every_metric(comparison: Comparison) -> None:
    markdown = comparison.as_markdown()
    assert "2 held-out rows" in markdown
    assert "| loss | 3 | 1 | -2 | -3.000 to +0.000 |" in markdown
    assert all(f"\n| {metric} |" in markdown for metric in METRICS)


def test_arm_compared_with_itself_does_not_differ(tmp_path: Path) -> None:
    arm = write_arm(tmp_path / "base", ["坏", "好"], [3.0, 2.0])
    assert set(compare(arm, arm).differences().values()) == {0.0}


def test_arms_of_different_length_are_not_compared(tmp_path: Path) -> None:
    base = write_arm(tmp_path / "base", ["好", "好"], [1.0, 1.0])
    tuned = write_arm(tmp_path / "tuned", ["好"], [1.0])
    with pytest.raises(ValueError, match="zip"):
        compare(base, tuned)


def write_results(folder: Path, items: list[dict[str, Any]], **result: Any) -> Path:
    folder.mkdir()
    write_lines(folder / "items.jsonl", items)
    write_json(folder / "result.json", result)
    return folder


def test_labels_have_an_interval_for_accuracy_and_a_note(tmp_path: Path) -> None:
    scores = {"accuracy": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5, "loss": 0.7}
    item = {"id": "1", "prompt": "好看", "reference": "1", "answer": "0", "loss": 0.7}
    arms = [
        write_results(tmp_path / arm, [{**item, "correct": correct}] * 4, metrics=scores, note=note)
        for arm, correct, note in (("base", 0.0, "The base has a random head."), ("tuned", 1.0, ""))
    ]
    comparison = compare(*arms)
    assert [row.metric for row in comparison.rows] == list(scores)
    assert comparison.differences()["compare/accuracy_mean"] == 1.0
    assert "compare/f1_mean" not in comparison.differences()
    assert comparison.as_markdown().endswith("\n\nThe base has a random head.")
    assert comparison.items[0]["base_correct"] == 0.0


def test_raw_text_has_scores_alone(tmp_path: Path) -> None:
    item = {"id": "1", "text": "家父", "loss": 2.0, "tokens": 8, "bits_per_byte": 1.0, "bytes": 6}
    long = {**item, "id": "2", "bits_per_byte": 4.0, "bytes": 3}
    scores = {"loss": 2.0, "perplexity": 7.39, "bits_per_byte": 2.0}
    base = write_results(tmp_path / "base", [item, long], metrics=scores)
    better = [{**row, "bits_per_byte": 1.0} for row in (item, long)]
    tuned = write_results(tmp_path / "tuned", better, metrics={**scores, "bits_per_byte": 1.0})
    comparison = compare(base, tuned)
    assert [row.metric for row in comparison.rows] == list(scores)
    # a third of the bytes has lost three bits each
    assert comparison.differences()["compare/bits_per_byte_mean"] == pytest.approx(-1.0)
    assert set(comparison.items[0]) == {
        *("id", "text", "base_loss", "tuned_loss"),
        *("base_bits_per_byte", "tuned_bits_per_byte"),
    }


def shown(arm: Path, capsys: pytest.CaptureFixture[str]) -> str:
    show_comparison(compare(arm, arm), {})
    return capsys.readouterr().out


def test_the_terminal_shows_labels_and_the_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"id": "1", "prompt": "好看", "reference": "1", "answer": "0", "correct": 0.0}
    arm = write_results(tmp_path / "a", [item], metrics={"accuracy": 0.0}, note="a random head")
    text = shown(arm, capsys)
    assert "a random head" in text
    assert "好看" in text


def test_the_terminal_shows_no_answers_to_raw_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    item = {"id": "1", "text": "家父", "loss": 2.0, "tokens": 8}
    arm = write_results(tmp_path / "a", [item], metrics={"loss": 2.0})
    assert "reference" not in shown(arm, capsys)
