"""Our metric modules give the numbers of the libraries under them."""

from pathlib import Path

import evaluate
import pytest
import sacrebleu
from rouge_score import rouge_scorer

from loraflow.evaluate import metrics
from loraflow.evaluate.language import ChineseWords, detect_language
from loraflow.evaluate.metrics.classification import Classification
from loraflow.evaluate.overlap import score_overlap

FOLDER = Path(metrics.__file__).parent
ENGLISH = (
    ["Return the name of the file.", "Print a calendar!", ""],
    ["Return the file's name.", "Print a year's calendar.", "Close it."],
)
CHINESE = (
    ["家父是大理寺少卿甄远道。", "今天天气很好"],
    ["家父是大理寺少卿甄远道。", "今天的天气非常好。"],
)


@pytest.mark.parametrize(("texts", "tokenize"), [(ENGLISH, "13a"), (CHINESE, "zh")])
def test_bleu_equals_sacrebleu(texts: tuple[list[str], list[str]], tokenize: str) -> None:
    answers, references = texts
    expected = sacrebleu.corpus_bleu(answers, [references], tokenize=tokenize)
    overlap = score_overlap(answers, references, "auto")
    assert overlap.bleu == expected.score
    assert f"tok:{tokenize}" in overlap.bleu_signature


def test_rouge_equals_rouge_score() -> None:
    answers, references = ENGLISH
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    overlap = score_overlap(answers, references, "auto")
    for index, (answer, reference) in enumerate(zip(answers, references, strict=True)):
        expected = scorer.score(reference, answer)
        for name, values in overlap.rouge.items():
            assert values[index] == expected[name].fmeasure


def test_chinese_is_cut_into_words() -> None:
    overlap = score_overlap(*CHINESE, "auto")
    assert overlap.language == "zh"
    assert overlap.rouge["rougeL"][0] == 1.0
    assert 0 < overlap.rouge["rougeL"][1] < 1
    assert ChineseWords().tokenize("你是谁？ OK") == ["你", "是", "谁", "ok"]


RIGHT, GIVEN = ["好", "好", "坏", "坏", "坏"], ["好", "坏", "坏", "坏", "坏"]


def test_label_scores_equal_those_by_hand() -> None:
    scores = Classification().compute(predictions=GIVEN, references=RIGHT)
    assert scores["accuracy"] == 4 / 5
    assert scores["precision"] == pytest.approx((1 + 3 / 4) / 2)
    assert scores["recall"] == pytest.approx((1 / 2 + 1) / 2)
    assert scores["f1"] == pytest.approx((2 / 3 + 6 / 7) / 2)


def test_a_label_that_is_never_given_has_no_precision() -> None:
    scores = Classification().compute(predictions=["a", "a"], references=["a", "b"])
    assert (scores["precision"], scores["recall"]) == (0.25, 0.5)


def test_label_scores_load_by_path_through_evaluate() -> None:
    metric = evaluate.load(str(FOLDER / "classification.py"))
    assert metric.compute(predictions=GIVEN, references=RIGHT)["accuracy"] == 4 / 5


@pytest.mark.parametrize("name", ["bleu", "rouge"])
def test_modules_load_by_path_through_evaluate(name: str) -> None:
    metric = evaluate.load(str(FOLDER / f"{name}.py"))
    result = metric.compute(predictions=["a b c d e"], references=["a b c d e"])
    assert result["bleu" if name == "bleu" else "rougeL"] in (pytest.approx(100), [1.0])


def test_lists_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="Mismatch"):
        score_overlap(["one"], ["one", "two"], "en")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("plain words", "en"),
        ("", "en"),
        ("我们用 LoRA 微调这个语言模型", "zh"),
        ("用 `print(value)` 输出变量的值", "zh"),
        ("これはテストです", "ja"),
        ("Возвращает имя файла", "other"),
        ("파일 이름을 반환합니다", "other"),
    ],
)
def test_language_decides_the_cut_and_no_script_is_dropped(text: str, language: str) -> None:
    assert detect_language([text]) == language
    if text:
        assert score_overlap([text], [text], "auto").rouge["rougeL"] == [1.0]
