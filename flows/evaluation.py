"""The stages that measure: what each arm is asked, and who judges it."""

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from prefect import Task

from flows.stages import DataOutputs, Stages
from loraflow.config import Config
from loraflow.evaluate.outputs import ArmOutputs, EvaluationOutputs
from loraflow.model.source import BaseModel, find_base
from loraflow.plan.evaluation import ArmPlan, EvaluationPlan
from loraflow.store import Key, Summary

if TYPE_CHECKING:
    from loraflow.evaluate.measuring import Measuring

Facts = Sequence[tuple[str, str]]
Work = Callable[["Measuring", Path, Path], Summary]
"""Takes what stages share, the folder of what an interrupted one has done, and the output's."""


def models_of(config: Config) -> tuple[BaseModel, BaseModel]:
    """Find the base model, and the model that judges: the same, unless it is named."""
    base = find_base(config.model, config.quantization)
    other = config.judge.model
    return base, base if other is None else find_base(other, config.quantization)


find_models = Task(models_of, name="base model", task_run_name="base model", persist_result=False)


def run_evaluation(
    config: Config,
    plan: EvaluationPlan,
    stages: Stages,
    *,
    judge: BaseModel,
    data: DataOutputs,
    trained: Path | None,
) -> EvaluationOutputs:
    """Measure the base, and what was trained, in every way that is asked for.

    Both arms, and a local judge, share one loaded base.
    """
    run = _Runner(config, stages, judge)
    base = _answer(run, plan.base, data, "base", None)
    tuned = None if plan.tuned is None else _answer(run, plan.tuned, data, "tuned", trained)
    card = run(plan.card, "", lambda it, work, out: it.examine(data.prepared, work, out=out))
    bench_card = run(
        plan.bench_card, "mt-bench", lambda it, work, out: it.examine_bench(work, out=out)
    )
    games = None
    if bench_card and tuned and base.answer and tuned.answer:
        pair, by = (base.answer, tuned.answer), bench_card
        games = run(plan.games, "", lambda it, work, out: it.play(pair, by, work, out=out))
    graded = EvaluationOutputs(
        _grade(run, plan.base, data, "base", (base, card, bench_card)),
        _grade(run, plan.tuned, data, "tuned", (tuned, card, bench_card))
        if plan.tuned and tuned
        else None,
        card,
        bench_card,
        games,
    )
    run.close()
    return graded


def run_page(
    stages: Stages, plan: EvaluationPlan, outputs: EvaluationOutputs, *, title: str, facts: Facts
) -> Path:
    """Make the report of an evaluation, and return the file."""

    def write(*, out: Path) -> Summary:
        from loraflow.evaluate.report.run import page

        return page(outputs, title=title, facts=facts, out=out)

    return stages.run(stages.store, plan.page, write) / "evaluation.html"


class _Runner:
    """Runs a stage if there is one; what stages share is made by the first that has to run."""

    def __init__(self, config: Config, stages: Stages, judge: BaseModel) -> None:
        self._config = config
        self._stages = stages
        self._judge = judge

    @cached_property
    def _measuring(self) -> "Measuring":
        from loraflow.evaluate.measuring import Measuring

        return Measuring(self._config, self._stages.base, self._judge, self._stages.lender)

    def __call__(self, key: Key | None, name: str, work: Work) -> Path | None:
        if key is None:
            return None
        store = self._stages.store
        folder = store.work(key)
        return self._stages.run(store, key, lambda out: work(self._measuring, folder, out), name)

    def close(self) -> None:
        if "_measuring" in vars(self):
            self._measuring.close()


def _answer(
    run: _Runner, plan: ArmPlan, data: DataOutputs, name: str, trained: Path | None
) -> ArmOutputs:
    """Ask one arm all that it is asked."""

    def evaluate(it: "Measuring", work: Path, out: Path) -> Summary:
        return it.evaluate(it.arm(trained, work), data.prepared, data.tokens, out=out)

    evaluated = run(plan.evaluate, name, evaluate)
    if evaluated is None:
        raise ValueError("every arm is measured on held-out rows")
    return ArmOutputs(
        evaluated,
        run(plan.probe, name, lambda it, work, out: it.probe(it.arm(trained, work), out=out)),
        run(plan.prompts, name, lambda it, work, out: it.prompts(it.arm(trained, work), out=out)),
        run(
            plan.answer, name, lambda it, work, out: it.answer(it.arm(trained, work), name, out=out)
        ),
    )


def _grade(
    run: _Runner,
    plan: ArmPlan,
    data: DataOutputs,
    name: str,
    judged: tuple[ArmOutputs, Path | None, Path | None],
) -> ArmOutputs:
    """Have the judge rate one arm's answers, to held-out rows and to two-turn questions."""
    arm, card, bench_card = judged
    grade = bench_grade = None
    if card is not None:
        by = card
        grade = run(
            plan.grade,
            name,
            lambda it, work, out: it.grade(data.prepared, arm.evaluate, by, work, out=out),
        )
    if bench_card is not None and arm.answer is not None:
        answered, by_bench = arm.answer, bench_card
        bench_grade = run(
            plan.bench_grade,
            f"{name} mt-bench",
            lambda it, work, out: it.grade_bench(answered, by_bench, work, out=out),
        )
    return arm.with_grades(grade, bench_grade)
