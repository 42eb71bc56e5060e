"""What all stages of an evaluation share: the config, and one loaded base for arms and judge."""

from pathlib import Path
from typing import Any

from loraflow.config import Config, MtBenchConfig
from loraflow.data.tables import read_rows
from loraflow.evaluate.arm import Arm
from loraflow.evaluate.judge.base import Exchange
from loraflow.evaluate.judge.examine import examine, exchanges_of
from loraflow.evaluate.judge.grade import grade_answers
from loraflow.evaluate.judge.opening import Bench
from loraflow.evaluate.mt_bench.answer import answer_questions
from loraflow.evaluate.mt_bench.grade import card_rows, grade_model, play_models
from loraflow.evaluate.probe import probe
from loraflow.evaluate.prompts import answer_prompts
from loraflow.evaluate.run import evaluate
from loraflow.model.lend import ModelLender
from loraflow.model.source import BaseModel

Summary = dict[str, Any]


class Measuring:
    """Hands each stage what it takes; `work` folders hold what an interrupted stage has done."""

    def __init__(
        self,
        config: Config,
        base: BaseModel,
        judge: BaseModel,
        lender: ModelLender | None = None,
    ) -> None:
        """Take the base that is measured, and the one that judges; load nothing yet.

        A `lender` is that of others too, who close it; without, the base is loaded for this alone.
        """
        self._config = config
        self._base = base
        self._is_lenders_owner = lender is None
        self._lender = ModelLender() if lender is None else lender
        self._bench = Bench(
            config.judge, judge, self._lender, name=(config.judge.model or config.model).name
        )

    def close(self) -> None:
        """Let go of the loaded base, unless others use it too."""
        if self._is_lenders_owner:
            self._lender.close()

    def arm(self, trained: Path | None, work: Path) -> Arm:
        """Return the base, or what was trained, as it is asked."""
        config = self._config
        return Arm(config.evaluate, config.template, self._base, trained, self._lender, work)

    def evaluate(self, arm: Arm, prepared: Path, tokens: Path, *, out: Path) -> Summary:
        """Measure an arm on the held-out rows."""
        task = self._config.train.task
        return evaluate(arm, task=task, prepared=prepared, tokens=tokens, out=out)

    def probe(self, arm: Arm, *, out: Path) -> Summary:
        """Ask an arm what tuning did not touch."""
        return probe(arm, out=out)

    def prompts(self, arm: Arm, *, out: Path) -> Summary:
        """Let an arm answer the user's own prompts."""
        return answer_prompts(arm, Path(str(self._config.evaluate.prompts)).expanduser(), out=out)

    def answer(self, arm: Arm, name: str, *, out: Path) -> Summary:
        """Let an arm, called `name`, answer two-turn questions."""
        return answer_questions(
            arm, self._questions(), model_id=name, judge_name=self._bench.reference_judge, out=out
        )

    def examine(self, prepared: Path, work: Path, *, out: Path) -> Summary:
        """Test the judge on held-out rows."""
        rows = ((row.id, row.record) for row in read_rows(prepared / "held_out.parquet"))
        return self._examine(exchanges_of(rows, self._config.judge.card_rows), work, out)

    def examine_bench(self, work: Path, *, out: Path) -> Summary:
        """Test the judge on right answers to two-turn questions."""
        most = self._config.judge.card_rows
        rows = card_rows(self._questions(), self._bench.reference_judge, most)
        return self._examine(rows, work, out)

    def grade(
        self, prepared: Path, evaluated: Path, card: Path, work: Path, *, out: Path
    ) -> Summary:
        """Rate an arm's answers to held-out rows."""
        return grade_answers(
            self._bench, prepared=prepared, evaluated=evaluated, card=card, work=work, out=out
        )

    def grade_bench(self, answered: Path, card: Path, work: Path, *, out: Path) -> Summary:
        """Rate an arm's answers to two-turn questions."""
        return grade_model(
            self._bench, self._questions(), answered=answered, card=card, work=work, out=out
        )

    def play(self, answered: tuple[Path, Path], card: Path, work: Path, *, out: Path) -> Summary:
        """Compare both arms' answers to two-turn questions, in both orders."""
        return play_models(
            self._bench, self._questions(), answered=answered, card=card, work=work, out=out
        )

    def _examine(self, rows: list[Exchange], work: Path, out: Path) -> Summary:
        labels = self._config.judge.human_labels
        path = None if labels is None else Path(labels).expanduser()
        return examine(self._bench, rows, labels=path, work=work, out=out)

    def _questions(self) -> MtBenchConfig:
        bench = self._config.evaluate.mt_bench
        if bench is None:
            raise ValueError("evaluate.mt_bench is null, so no stage may ask its questions")
        return bench
