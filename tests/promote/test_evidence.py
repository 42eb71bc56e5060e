"""Evidence comes from the folders of real stages, and from nothing else."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from flows.evaluation import run_evaluation
from flows.running import run_plainly
from flows.stages import DataOutputs, Stages, run_training_stages
from loraflow.data.tables import RECORDS, TableWriter, read_rows
from loraflow.evaluate.outputs import ArmOutputs, EvaluationOutputs
from loraflow.files import ITEMS, read_json, read_lines, write_json, write_lines
from loraflow.model.source import find_base
from loraflow.plan.experiment import make_plan
from loraflow.promote.gate.decide import decide
from loraflow.promote.gate.decision import BASE_MODEL, Evidence
from loraflow.promote.gate.evidence import gather_evidence
from loraflow.promote.gate.gate_set import digest_of
from loraflow.store import Store
from tests.conftest import composed
from tests.promote.made_evidence import gate

HELD_OUT = "held_out.parquet"


@dataclass(frozen=True)
class Night:
    """What the stages of an experiment left."""

    data: DataOutputs
    outputs: EvaluationOutputs

    def evidence(
        self, *, prepared: Path | None = None, tuned: ArmOutputs | None = None
    ) -> Evidence:
        challenger = tuned or self.outputs.tuned
        assert challenger is not None
        return gather_evidence(
            self.outputs.base,
            challenger,
            prepared=prepared or self.data.prepared,
            gate=digest_of(self.data.prepared / HELD_OUT),
            card=self.outputs.card,
            reference=BASE_MODEL,
        )

    def tuned(self) -> ArmOutputs:
        assert self.outputs.tuned is not None
        return self.outputs.tuned

    def copied(self, source: Path, folder: Path) -> Path:
        return Path(shutil.copytree(source, folder))


@pytest.fixture(scope="module")
def night(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Night:
    folder = tmp_path_factory.mktemp("night")
    config = composed(
        "model=folder",
        f"model.location={tiny_folder}",
        f"model.cache={folder / 'models'}",
        f"store={folder / 'store'}",
        "quantization=none",
        "train=smoke",
        "data.train_rows=64",
        "data.split.held_out_rows=12",
        "evaluate.max_new_tokens=4",
        "judge.card_rows=6",
    )
    base = find_base(config.model, config.quantization)
    stages = Stages(Store(config.store), base, run_plainly)
    plan = make_plan(config, base)
    data, trained = run_training_stages(config, plan, stages, lambda *_: None)
    outputs = run_evaluation(
        config, plan.evaluation, stages, judge=base, data=data, trained=trained
    )
    return Night(data, outputs)


def test_evidence_of_real_stages_is_whole_and_decides(night: Night) -> None:
    evidence = night.evidence()
    rows = read_lines(night.outputs.base.evaluate / ITEMS)
    assert [item["id"] for item in evidence.champion.items] == [row["id"] for row in rows]
    assert evidence.champion.items[0]["loss"] == rows[0]["loss"]
    assert evidence.champion.items[0]["bleu_counts"] == rows[0]["bleu_counts"]
    assert evidence.champion.items[0]["reference_characters"] == len(rows[0]["reference"])
    assert "judge_rating" in evidence.challenger.items[0]
    assert len(evidence.challenger.probes or ()) == 120
    assert evidence.judge is not None
    assert (evidence.judge.own, evidence.judge.same_card) == (True, True)
    assert evidence.gate.rows == len(rows) == 12
    for metric in (None, "loss", "bleu", "perplexity"):
        decision = decide(evidence, gate(metric=metric))
        passed = {guard.name for guard in decision.guards if guard.passed}
        assert {"same_items", "gate_set", "leak", "judge"} <= passed, decision.sentence


def test_texts_stay_out_of_the_evidence(night: Night) -> None:
    """It goes to MLflow and to dashboards, and the answers may be nobody else's business."""
    evidence = night.evidence()
    assert all(len(item["prompt_id"]) == 16 for item in evidence.champion.items)
    written = json.dumps(evidence.as_dict(), ensure_ascii=False, allow_nan=False)
    for row in read_lines(night.outputs.base.evaluate / ITEMS):
        assert row["reference"] not in written
        assert row["prompt"] not in written


def test_the_base_may_not_judge_itself(night: Night) -> None:
    decision = decide(night.evidence(), gate(metric="judge_rating"))
    assert not decision.promote
    assert not {guard.name: guard.passed for guard in decision.guards}["judge"]


def test_ratings_by_another_card_are_seen(night: Night, tmp_path: Path) -> None:
    source = night.tuned().grade
    assert source is not None
    grade = night.copied(source, tmp_path / "grade")
    result = read_json(grade / "result.json")
    result["inputs"]["reads"] = [["evaluate", "0"], ["examine", "another"]]
    write_json(grade / "result.json", result)
    judge = night.evidence(tuned=replace(night.tuned(), grade=grade)).judge
    assert judge is not None
    assert not judge.same_card


@pytest.mark.parametrize("broken", [float("nan"), float("inf"), None])
def test_answers_of_a_broken_model_keep_the_champion(
    night: Night, tmp_path: Path, broken: float | None
) -> None:
    """NaN and Infinity are no JSON, so evidence has null in their place."""
    evaluated = night.copied(night.tuned().evaluate, tmp_path / "evaluate")
    rows = [{**row, "loss": broken, "answer": " \n"} for row in read_lines(evaluated / ITEMS)]
    write_lines(evaluated / ITEMS, rows)
    evidence = night.evidence(tuned=replace(night.tuned(), evaluate=evaluated))
    assert {item["loss"] for item in evidence.challenger.items} == {None}
    assert {item["empty"] for item in evidence.challenger.items} == {1.0}
    for metric in ("loss", "perplexity"):
        decision = decide(evidence, gate(metric=metric))
        assert not decision.promote
        assert "12 of 12 rows have a" in decision.sentence
    json.dumps(decision.as_dict(), allow_nan=False)


def test_a_row_that_was_lost_fails(night: Night, tmp_path: Path) -> None:
    evaluated = night.copied(night.tuned().evaluate, tmp_path / "evaluate")
    write_lines(evaluated / ITEMS, read_lines(evaluated / ITEMS)[:-1])
    evidence = night.evidence(tuned=replace(night.tuned(), evaluate=evaluated))
    assert "1 only the champion" in decide(evidence, gate()).sentence


def test_a_gate_row_among_the_training_rows_is_found(night: Night, tmp_path: Path) -> None:
    """Counted anew, whatever the stage says of itself."""
    prepared = night.copied(night.data.prepared, tmp_path / "prepared")
    rows = [*read_rows(prepared / "train.parquet"), next(read_rows(prepared / HELD_OUT))]
    with TableWriter.writing(prepared / "train.parquet", RECORDS) as table:
        table.add([row.as_columns() for row in rows])
    assert night.evidence().leak.left == 0
    evidence = night.evidence(prepared=prepared)
    assert evidence.leak.left == 1
    assert "1 training rows give gate rows away" in decide(evidence, gate()).sentence


def test_leaks_that_are_only_reported_are_left(night: Night, tmp_path: Path) -> None:
    prepared = night.copied(night.data.prepared, tmp_path / "prepared")
    result = read_json(prepared / "result.json")
    result["leak"] |= {"action": "report", "prompt": 0, "ngram_rows": 4}
    write_json(prepared / "result.json", result)
    assert night.evidence(prepared=prepared).leak.left == 4


def test_another_gate_row_is_another_gate_set(night: Night, tmp_path: Path) -> None:
    prepared = night.copied(night.data.prepared, tmp_path / "prepared")
    rows = list(read_rows(prepared / HELD_OUT))[1:]
    with TableWriter.writing(prepared / HELD_OUT, RECORDS) as table:
        table.add([row.as_columns() for row in rows])
    assert (
        "not those that were frozen" in decide(night.evidence(prepared=prepared), gate()).sentence
    )
