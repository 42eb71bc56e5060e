"""What the stages left comes together on the page, failures beside the means."""

from pathlib import Path

from loraflow.evaluate.outputs import ArmOutputs, EvaluationOutputs
from loraflow.evaluate.report.content import EvaluationPage
from loraflow.evaluate.report.gather import gather
from loraflow.files import ITEMS, write_json, write_lines


def graded(folder: Path, failures: list[str]) -> ArmOutputs:
    """Write an arm of as many answers, rated 5 where no judgment failed."""
    evaluate, grade = folder / "evaluate", folder / "grade"
    for path in (evaluate, grade):
        path.mkdir(parents=True)
    items = [
        {"id": str(n), "prompt": "谁？", "reference": "我", "answer": "我"}
        for n in range(len(failures))
    ]
    grades = [
        {"id": str(n), "judge_rating": None if failure else 5.0, "judge_failure": failure}
        for n, failure in enumerate(failures)
    ]
    write_lines(evaluate / ITEMS, items)
    write_lines(grade / ITEMS, grades)
    write_json(evaluate / "result.json", {})
    return ArmOutputs(evaluate, None, None, None, grade)


def page_of(folder: Path, base: list[str], tuned: list[str]) -> EvaluationPage:
    arms = graded(folder / "base", base), graded(folder / "tuned", tuned)
    return gather(EvaluationOutputs(*arms, card=None, bench_card=None, games=None), "评测")


def test_failed_judgments_are_counted_beside_the_mean(tmp_path: Path) -> None:
    page = page_of(tmp_path, ["", "call", "format", "call"], ["", "", "", ""])
    assert [score.name for score in page.scores] == ["judge_rating"]
    assert page.findings[-1] == (
        "judge_rating is the mean of the answers that were rated: base 1 of 4 "
        "(2 judgments without a reply, 1 judgments without a rating), tuned 4 of 4."
    )


def test_nothing_is_said_of_failures_where_none_are(tmp_path: Path) -> None:
    page = page_of(tmp_path, ["", ""], ["", ""])
    assert not any("answers that were rated" in sentence for sentence in page.findings)
