"""Our metric modules give the numbers of the libraries under them."""

from pathlib import Path

import evaluate
import numpy as np
import pytest
import sacrebleu
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer
from sklearn.metrics import precision_recall_fscore_support

from loraflow.compare import corpus
from loraflow.compare.aggregate import aggregate
from loraflow.evaluate import metrics
from loraflow.evaluate.language import ChineseWords, detect_language
from loraflow.evaluate.metrics.behaviour import Behaviour
from loraflow.evaluate.metrics.bleu import Bleu
from loraflow.evaluate.metrics.choices import Choices
from loraflow.evaluate.metrics.chrf import Chrf
from loraflow.evaluate.metrics.classification import Classification
from loraflow.evaluate.metrics.consistency import Consistency
from loraflow.evaluate.metrics.exact_match import ExactMatch
from loraflow.evaluate.metrics.likelihood import Likelihood
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
    assert (
        Bleu().compute(predictions=answers, references=references, tokenize=tokenize)["bleu"]
        == expected.score
    )
    overlap = score_overlap(answers, references, "auto")
    assert aggregate(overlap.items)["bleu"].value == pytest.approx(expected.score)
    assert f"tok:{tokenize}" in overlap.signatures["bleu"]


@pytest.mark.parametrize("texts", [ENGLISH, CHINESE])
def test_chrf_equals_sacrebleu(texts: tuple[list[str], list[str]]) -> None:
    expected = sacrebleu.corpus_chrf(texts[0], [texts[1]]).score
    found = Chrf().compute(predictions=texts[0], references=texts[1])
    assert found["chrf"] == expected
    assert aggregate(score_overlap(*texts, "auto").items)["chrf"].value == pytest.approx(expected)


words = st.lists(st.sampled_from(["a", "the", "家", "b.", "cat"]), max_size=8).map(" ".join)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=6))
@settings(max_examples=150, deadline=None)
def test_scores_of_sums_are_those_of_sacrebleu(pairs: list[tuple[str, str]]) -> None:
    answers, references = (list(side) for side in zip(*pairs, strict=True))
    bleu, chrf = sacrebleu.BLEU(), sacrebleu.CHRF()
    for metric, value in ((bleu, corpus.bleu), (chrf, corpus.chrf)):
        counts = metric._extract_corpus_statistics(answers, [references])
        expected = metric.corpus_score(answers, [references]).score
        assert float(value(np.sum(counts, axis=0, dtype=float))) == pytest.approx(expected)


def test_rouge_equals_rouge_score() -> None:
    answers, references = ENGLISH
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL"])
    overlap = score_overlap(answers, references, "auto")
    for item, answer, reference in zip(overlap.items, answers, references, strict=True):
        expected = scorer.score(reference, answer)
        assert all(item[name] == expected[name].fmeasure for name in expected)
    assert overlap.signatures["rouge"].startswith("F|tok:rouge_score|")
    assert "jieba-0.42.1" in score_overlap(*CHINESE, "auto").signatures["rouge"]


def test_chinese_is_cut_into_words() -> None:
    overlap = score_overlap(*CHINESE, "auto")
    assert overlap.language == "zh"
    assert overlap.items[0]["rougeL"] == 1.0
    assert 0 < overlap.items[1]["rougeL"] < 1
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
        assert score_overlap([text], [text], "auto").items[0]["rougeL"] == 1.0


labels = st.lists(
    st.tuples(st.sampled_from("ab好"), st.sampled_from("ab好")), min_size=1, max_size=9
)


@given(labels)
@settings(max_examples=60, deadline=None)
def test_macro_scores_of_sums_are_those_of_scikit_learn(pairs: list[tuple[str, str]]) -> None:
    items = [
        {"reference": right, "answer": given, "correct": float(right == given)}
        for right, given in pairs
    ]
    expected = precision_recall_fscore_support(
        *zip(*pairs, strict=True), average="macro", zero_division=0
    )
    found = aggregate(items)
    for name, value in zip(("precision", "recall", "f1"), expected, strict=False):
        assert found[name].value == pytest.approx(value)


def test_exact_match_forgives_spaces_and_full_width_forms() -> None:
    found = ExactMatch().compute(
        predictions=["\uff21\uff22  c", "好。", "No"], references=["AB c", "好。", "no"]
    )
    assert found["exact_match"] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot answer this.", True),
        ("As an AI language model, I have no view.", True),
        ("抱歉，我无法回答这个问题。", True),
        ("作为一个人工智能语言模型，我没有感情。", True),
        ("我不能提供这样的建议。", True),
        ("Sorry is a word of six letters? No, five.", True),
        ("The cannon cannot fire.", False),
        ("对不起这个词是道歉时说的。", True),
        ("他说：抱歉。", False),
        ("I can help.", False),
        ("", False),
    ],
)
def test_refusals_are_seen_where_an_answer_begins(text: str, refuses: bool) -> None:
    assert Behaviour().compute(predictions=[text])["refusal"] == [float(refuses)]


def test_repetition_is_the_share_of_four_grams_that_stood_there_before() -> None:
    texts = ["a b c d e", "a b c d a b c d", "", "我是我是我是我是"]
    found = Behaviour().compute(predictions=texts)
    assert found["repetition"] == [0.0, pytest.approx(1 / 5), 0.0, pytest.approx(3 / 5)]
    assert found["answer_characters"] == [9, 15, 0, 8]


def test_options_are_compared_as_sums_and_by_byte() -> None:
    found = Choices().compute(
        predictions=[[-3.0, -4.0], [-1.0, -2.0]], sizes=[[1, 8], [1, 1]], references=[1, 0]
    )
    assert found == {
        "chosen": [0, 0],
        "choice_correct": [0.0, 1.0],
        "choice_correct_norm": [1.0, 1.0],
    }


def test_likelihood_by_hand() -> None:
    nats = [2 * np.log(2), 4 * np.log(2)]
    found = Likelihood().compute(predictions=nats, tokens=[1, 3], bytes=[2, 1], hits=[1, 0])
    assert found["loss"] == pytest.approx(6 * np.log(2) / 4)
    assert found["perplexity"] == pytest.approx(2**1.5)
    assert found["bits_per_byte"] == pytest.approx(2.0)
    assert found["token_accuracy"] == 0.25
    combined = aggregate(found["items"])
    for name in ("loss", "perplexity", "bits_per_byte", "token_accuracy"):
        assert combined[name].value == pytest.approx(found[name])
        assert combined[name].low <= combined[name].value <= combined[name].high


def test_samples_that_are_equal_are_consistent() -> None:
    found = Consistency().compute(predictions=[["a b", "a b", "a b"], ["a b", "c d"], ["", ""]])
    assert found["self_consistency"] == [1.0, 0.0, 1.0]
