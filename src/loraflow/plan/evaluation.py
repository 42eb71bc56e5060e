"""The stages that measure: what each arm is asked, and who judges it."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from loraflow.check import dump_config
from loraflow.config import ANSWERED, Config
from loraflow.errors import UserError
from loraflow.files import hash_content
from loraflow.model.source import BaseModel
from loraflow.plan.keys import COMPUTING, stage_key, versions
from loraflow.store import Key

_HELD_OUT = ("max_new_tokens", "batch_size", "language", "samples", "temperature")
_SHIPPED = ("en", "zh")  # question sets, versioned with the code
_SETS_VERSION = 1


@dataclass(frozen=True)
class ArmPlan:
    """What one model is measured by; None: not asked for."""

    evaluate: Key
    probe: Key | None
    prompts: Key | None
    answer: Key | None
    grade: Key | None  # the judge's ratings of answers to held-out rows
    bench_grade: Key | None  # and of answers to two-turn questions


@dataclass(frozen=True)
class EvaluationPlan:
    """Both arms, or the base alone, and what a judge does for both."""

    base: ArmPlan
    tuned: ArmPlan | None
    card: Key | None  # what the judge sees, tested on held-out rows
    bench_card: Key | None  # and on right answers to two-turn questions
    games: Key | None

    @property
    def page(self) -> Key:
        """Name the report, which shows all of it."""
        return stage_key("page", reads=[key for _, key in sorted(self.stages().items())])

    def stages(self) -> dict[str, Key]:
        """Return the key of every stage that measures, by name."""
        named = {"card": self.card, "bench_card": self.bench_card, "games": self.games}
        for name, arm in {"base": self.base, "tuned": self.tuned}.items():
            if arm is not None:
                named |= {f"{field.name}_{name}": getattr(arm, field.name) for field in fields(arm)}
        return {name: key for name, key in named.items() if key is not None}


@dataclass(frozen=True)
class _Judged:
    """The tests of the judge that ratings depend on."""

    card: Key | None
    bench_card: Key | None


def plan_evaluation(
    config: Config,
    base: BaseModel,
    judge: BaseModel,
    *,
    prepare: Key,
    tokenize: Key,
    trained: Key | None,
) -> EvaluationPlan:
    """Key what is measured of the base, and of what `trained` names, if anything was trained."""
    judged = _Judged(
        _card(config, judge, prepare=prepare) if _rates_held_out(config) else None,
        _card(config, judge, bench=True) if _has_bench(config) else None,
    )
    untuned = _arm(config, base, judged, tokenize, trained=None)
    tuned = None if trained is None else _arm(config, base, judged, tokenize, trained=trained)
    return EvaluationPlan(
        untuned, tuned, judged.card, judged.bench_card, _games(config, judged, untuned, tuned)
    )


def who_judges(config: Config, base: BaseModel | None) -> dict[str, Any]:
    """Return all of a judge that its judgments depend on; a local one is `base`."""
    settings = dump_config(config)["judge"]
    who: dict[str, Any] = {"kind": config.judge.kind, "reading": config.judge.reading}
    if base is not None and config.judge.kind == "local":
        who["model"] = [base.revision, base.trust_remote_code, dump_config(config)["quantization"]]
        who["libraries"] = versions(*COMPUTING)
    else:
        who["api"] = {name: settings["api"][name] for name in ("base_url", "model", "max_tokens")}
    for name in ("prompts", "human_labels"):
        path = settings[name]
        who[name] = None if path is None else _content(path, f"judge.{name}")
    return who


def _games(config: Config, judged: _Judged, base: ArmPlan, tuned: ArmPlan | None) -> Key | None:
    bench = config.evaluate.mt_bench
    if not (bench and bench.games and judged.bench_card and tuned and base.answer and tuned.answer):
        return None
    return stage_key("play", reads=[base.answer, tuned.answer, judged.bench_card])


def _rates_held_out(config: Config) -> bool:
    return _answers(config) and config.judge.kind != "none" and config.judge.held_out


def _has_bench(config: Config) -> bool:
    has_judge = config.judge.kind != "none"
    return _answers(config) and has_judge and config.evaluate.mt_bench is not None


def _answers(config: Config) -> bool:
    return config.train.task in ANSWERED


def _arm(
    config: Config, base: BaseModel, judged: _Judged, tokenize: Key, *, trained: Key | None
) -> ArmPlan:
    settings = dump_config(config)
    asked = {
        "base": [base.revision, base.trust_remote_code],
        "quantization": settings["quantization"],
        "template": config.template.chat_template,
        "libraries": versions(*COMPUTING, "sacrebleu", "rouge-score", "scikit-learn"),
        "batch_size": config.evaluate.batch_size,  # products of another shape round otherwise
    }
    model = [] if trained is None else [trained]
    evaluate = stage_key(
        "evaluate",
        reads=[tokenize, *model],
        task=config.train.task,
        evaluate={name: settings["evaluate"][name] for name in _HELD_OUT},
        **asked,
    )
    only = config.evaluate if _answers(config) else None
    probe = prompts = answer = None
    if only and only.probes:
        probe = stage_key("probe", reads=model, probes=only.probes, **asked)
    if only and only.prompts:
        content, limit = _content(only.prompts, "evaluate.prompts"), only.max_new_tokens
        prompts = stage_key("prompts", reads=model, content=content, limit=limit, **asked)
    if only and only.mt_bench:
        answer = stage_key("answer", reads=model, bench=_bench(config), **asked)
    return ArmPlan(
        evaluate,
        probe,
        prompts,
        answer,
        stage_key("grade", reads=[evaluate, judged.card]) if judged.card else None,
        stage_key("grade", reads=[answer, judged.bench_card])
        if judged.bench_card and answer
        else None,
    )


def _card(
    config: Config, judge: BaseModel, *, prepare: Key | None = None, bench: bool = False
) -> Key:
    """Key the test of a judge, and with it the judge."""
    return stage_key(
        "examine",
        reads=[prepare] if prepare else [],
        judge=who_judges(config, judge),
        rows=config.judge.card_rows,
        bench=_bench(config) if bench else None,
    )


def _bench(config: Config) -> dict[str, Any] | None:
    bench = config.evaluate.mt_bench
    if bench is None:
        return None
    sets = [
        [name, _SETS_VERSION] if name in _SHIPPED else _folder_content(Path(name))
        for name in bench.questions
    ]
    return {"sets": sets, "per_category": bench.per_category, "limit": bench.max_new_tokens}


def _content(path: str, key: str) -> str:
    file = Path(path).expanduser()
    if not file.is_file():
        raise UserError(f"{key}={path} is no file; set it to one, or to null")
    return hash_content(file)


def _folder_content(path: Path) -> list[str]:
    """Name question and reference files by what is in them."""
    folder = path if path.is_dir() else path.parent
    questions = path / "question.jsonl" if path.is_dir() else path
    if not questions.is_file():
        raise UserError(
            f"evaluate.mt_bench.questions={path}: there is no file {questions}; choose "
            f"{' or '.join(_SHIPPED)}, or give a question.jsonl or its folder"
        )
    return [
        f"{file.name} {hash_content(file)}"
        for file in [questions, *sorted((folder / "reference_answer").glob("*.jsonl"))]
    ]
