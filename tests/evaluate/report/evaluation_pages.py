"""An evaluation as the stages would give it, in English and Chinese."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from loraflow.compare.statistics import (
    Interval,
    mean_interval,
    paired_difference,
    share_interval,
)
from loraflow.evaluate.mt_bench.questions import CATEGORIES, Question, load_questions
from loraflow.evaluate.report.content import (
    Bench,
    Conversation,
    EvaluationPage,
    Item,
    JudgeCard,
    Sample,
    Score,
    Turn,
)

_SHORT = (
    ("Write the summary line of a docstring: def shlex.quote(s)", "Return a shell-escaped string."),
    (
        "Write the summary line of a docstring: def heapq.merge(*it)",
        "Merge sorted inputs into one.",
    ),
    ("What does `textwrap.dedent` do?", "Remove common leading whitespace from every line."),
    ("Summarise: The meeting moved from Monday to Wednesday at ten.", "Meeting: Wednesday, 10."),
    ("患者，男，45岁，咳嗽三天，伴低热。请写出主诉。", "咳嗽伴低热3天。"),
    ("把下面的句子改写得更正式：这事儿我们得赶紧办。", "此事须尽快办理。"),
    ("“春蚕到死丝方尽”的下一句是什么？", "蜡炬成灰泪始干。"),
    ("用一句话概括：会议由周一改到周三上午十点。", "会议改至周三上午十点。"),
)
_WORDS = {
    "en": "It returns the value that was asked for, and nothing else is changed by the call. ",
    "zh": "家父是大理寺少卿甄远道，小女名唤甄嬛，还望皇上恕罪。",
}


def score(name: str, base: Sequence[float], tuned: Sequence[float] | None, **more: Any) -> Score:
    """Return the score of values an item."""
    return Score(
        name=name,
        meaning=more.pop("meaning", "Mean over the items."),
        larger_is_better=more.pop("larger_is_better", True),
        base=mean_interval(base),
        tuned=None if tuned is None else mean_interval(tuned),
        difference=None if tuned is None else paired_difference(tuned, base),
        items=len(base),
        **more,
    )


def realistic_page(count: int = 100, seed: int = 0) -> EvaluationPage:
    """Return a page of both arms: some is better, some worse, much cannot be told."""
    draw = np.random.default_rng(seed)
    rouge = _pairs(draw, count, 0.24, 0.33, 0.16)
    loss = _pairs(draw, count, 2.61, 2.12, 0.5)
    exact = np.clip((_pairs(draw, count, 0.1, 0.16, 0.3) > 0.5).astype(float), 0, 1)
    length = _pairs(draw, count, 61, 38, 22)
    cut = (_pairs(draw, count, 0.2, 0.25, 0.3) > 0.5).astype(float)
    scores = [
        score("rougeL", *rouge, meaning="Longest common subsequence with the reference, F1."),
        score("exact_match", *exact, meaning="Answers equal to the reference."),
        score(
            "loss",
            *loss,
            meaning="Nats a token of the reference.",
            larger_is_better=False,
            digits=2,
        ),
        score("answer_tokens", *length, meaning="Tokens written.", larger_is_better=None, digits=1),
        score("cut_share", *cut, meaning="Answers that did not end.", larger_is_better=False),
    ]
    judged = _pairs(draw, count, 4.1, 4.6, 1.2)
    scores.append(
        score(
            "judge_rating",
            *judged,
            meaning="Mean rating from 1 to 10.",
            note="untrusted judge",
            digits=2,
        )
    )
    values = {"rougeL": rouge, "loss": loss, "exact_match": exact, "judge_rating": judged}
    items = [_item(n, {name: both[:, n] for name, both in values.items()}) for n in range(count)]
    return EvaluationPage(
        title="SmolLM2-135M on docstrings and 病历: tuned against base",
        facts=_FACTS,
        findings=_FINDINGS,
        scores=scores,
        probes=_probes(draw),
        bench=_bench(draw, trusted=False),
        cards=[_card("local judge", trusted=False), _card("qwen-max", trusted=True)],
        items=items,
        prompts=[
            Sample(
                "Introduce yourself in one sentence.",
                {"base": "I am a language model. " * 30, "tuned": "I answer in one line."},
            ),
            Sample("你是谁？", {"base": "我是一个语言模型。", "tuned": _WORDS["zh"]}),
            Sample("من أنت؟", {"base": "أنا نموذج لغوي.", "tuned": "أنا نموذج لغوي مدرَّب (v2)."}),
        ],
    )


_FACTS = (
    ("Base model", "HuggingFaceTB/SmolLM2-135M-Instruct"),
    ("Adapter", "LoRA r=16, alpha=32, all_linear"),
    ("Data", "docstrings_and_medical.jsonl（中英文）"),
    ("Held-out items", "100, none of them in train"),
    ("Decoding", "greedy, at most 256 new tokens"),
    ("Seed", "0"),
)
_FINDINGS = (
    "Tuned is better than base in rougeL and loss.",
    "It cannot be told whether exact_match changed: its interval includes zero.",
    "The tuned model forgets: accuracy in arithmetic fell.",
    "judge_rating counts for nothing here: untrusted judge.",
)


def _pairs(draw: Any, count: int, base: float, tuned: float, spread: float) -> Any:
    common = draw.normal(0, spread, count)
    arms = [
        np.clip(mean + common + draw.normal(0, spread * 0.7, count), 0, None)
        for mean in (base, tuned)
    ]
    return np.round(np.stack(arms), 4)


def _item(number: int, scores: dict[str, Any]) -> Item:
    prompt, reference = _SHORT[number % len(_SHORT)]
    words = _WORDS["en" if prompt.isascii() else "zh"]
    repeats = 25 if number % 9 == 0 else 1 + number % 3
    return Item(
        id=f"{'zh' if words == _WORDS['zh'] else 'en'}-{number:03}",
        prompt=prompt,
        reference=reference,
        answers={"base": words * repeats, "tuned": reference if number % 2 else words},
        scores={name: (float(base), float(tuned)) for name, (base, tuned) in scores.items()},
        notes=["base: cut at 256 tokens"] if repeats > 3 else [],
    )


def _probes(draw: Any) -> list[Score]:
    kinds = {
        "knowledge": ("Facts that everyone knows.", 0.85, 0.8),
        "arithmetic": ("Sums of small numbers.", 0.6, 0.35),
        "language": ("Words and grammar.", 0.7, 0.72),
        "common_sense": ("What follows in everyday life.", 0.75, 0.7),
        "reading": ("What a short text says.", 0.8, 0.9),
    }
    found = []
    for name, (meaning, *rates) in kinds.items():
        luck = draw.random(48)
        base, tuned = (
            ((0.8 * luck + 0.2 * draw.random(48)) < rate).astype(float) for rate in rates
        )
        found.append(score(name, base, tuned, meaning=meaning))
    return found


def _bench(draw: Any, *, trusted: bool) -> Bench:
    questions = [*load_questions("en", ""), *load_questions("zh", "")]
    shifts = dict(zip(CATEGORIES, (0.9, 0.6, -0.2, -0.7, -0.3, 0.4, 0.1, 1.1), strict=True))
    conversations = []
    for question in questions:
        common = draw.normal(0, 1)
        ratings = {
            arm: np.clip(4.6 + common + shift + draw.normal(0, 0.8, 2), 1, 10).round(1)
            for arm, shift in (("base", 0.0), ("tuned", shifts[question.category]))
        }
        conversations.append(_conversation(question, ratings))
    note = "" if trusted else "untrusted judge"
    by_turn = {"turn 1": 0, "turn 2": 1}
    overall = [_rating("average", conversations, (0, 1), note)]
    overall += [_rating(name, conversations, (turn,), note) for name, turn in by_turn.items()]
    categories = [
        _rating(name, [talk for talk in conversations if talk.category == name], (0, 1), note)
        for name in CATEGORIES
    ]
    shares = {"win rate": 0.36, "loss rate": 0.3, "tie": 0.34, "adjusted win rate": 0.53}
    return Bench(
        judge="local judge (SmolLM2-1.7B)",
        trusted=trusted,
        questions=len(questions),
        overall=overall,
        categories=categories,
        failures=[("base", 2, "answers failed"), ("tuned", 1, "judgment could not be read")],
        pairs=[
            (name, _share(draw.random(160) < share))
            for name, share in (shares | {"position flip rate": 0.41}).items()
        ],
        conversations=conversations,
    )


def _rating(
    name: str, conversations: Sequence[Conversation], turns: Sequence[int], note: str
) -> Score:
    arms = [
        [
            float(np.mean([talk.turns[turn].ratings[arm] for turn in turns]))
            for talk in conversations
        ]
        for arm in ("base", "tuned")
    ]
    return score(name, *arms, meaning="", note=note, digits=2)


def _conversation(question: Question, ratings: dict[str, Any]) -> Conversation:
    words = _WORDS["zh" if not question.turns[0].isascii() else "en"]
    references = [*question.references, "", ""]
    return Conversation(
        str(question.id),
        question.category,
        [
            Turn(
                text,
                references[turn],
                {"base": words * 8, "tuned": words * (3 + question.id % 9)},
                {arm: float(found[turn]) for arm, found in ratings.items()},
                {
                    arm: f"The answer is relevant. Rating: [[{found[turn]}]]"
                    for arm, found in ratings.items()
                },
            )
            for turn, text in enumerate(question.turns)
        ],
    )


def _card(name: str, *, trusted: bool) -> JudgeCard:
    kinds = {
        "wrong_question": ("Answers to another question.", 0.55, 0.97),
        "shuffled": ("Words in another order.", 0.5, 0.93),
        "truncated": ("Cut to a third.", 0.46, 0.71),
        "repeated": ("One clause repeated.", 0.3, 0.9),
    }
    draw = np.random.default_rng(len(name))
    accuracies = [draw.random(40) < rates[trusted] for _, *rates in kinds.values()]
    return JudgeCard(
        name=name,
        trusted=trusted,
        sentences=[f"{name} prefers a genuine answer to a spoilt one in most pairs."]
        if trusted
        else [f"{name} cannot be told from chance: do not trust its ratings."],
        kinds=[
            (kind, meaning, _share(found), 40)
            for (kind, (meaning, *_)), found in zip(kinds.items(), accuracies, strict=True)
        ],
        pooled=_share(np.concatenate(accuracies)),
        figures=[
            ("Position flip rate", "0.41 (0.34 to 0.49) of 160 games"),
            ("Twice the length", "+0.35 points (+0.10 to +0.61)"),
            ("Failures", "3 of 640 judgments"),
            ("Asked again", "the same rating in 92% of 40 cases"),
        ],
        examples=[
            (
                "用一句话概括会议安排。",
                "会议改至周三上午十点。",
                "上午会议十点周三改至。",
                6.5,
                6.75,
            )
        ],
    )


def _share(found: Any) -> Interval:
    return share_interval(int(found.sum()), len(found))
