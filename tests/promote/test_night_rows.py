"""The rows of a night are judged with the gate set apart, and by the keys that a night has."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.night import rows
from flows.night.tonight import Tonight
from flows.night_command import read_night
from flows.running import run_plainly
from flows.stages import Stages
from loraflow.errors import RefusedData, UserError
from loraflow.model.source import BaseModel
from loraflow.promote.line import Line
from tests.nights_project import good

NightOf = Callable[..., Tonight]


@pytest.fixture
def night_of(tmp_path: Path, tiny_folder: Path) -> NightOf:
    """First nights over 30 rows."""
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in good(30, seed=1)))

    def night_of(*words: str) -> Tonight:
        request = read_night(
            [
                *["model=folder", f"model.location={tiny_folder}", "night.name=tickets"],
                *[
                    "data=file",
                    f"data.path={data}",
                    "data.min_train_rows=10",
                    "data.train_rows=null",
                ],
                *[f"store={tmp_path / 'store'}", f"model.cache={tmp_path / 'models'}", *words],
            ]
        )
        line = Line(tmp_path / "nights", "tickets")
        return Tonight(request, line, line.begin("ann"))

    return night_of


def test_too_few_rows_for_the_gate_are_refused_by_its_key(
    night_of: NightOf, tiny_base: BaseModel
) -> None:
    night = night_of("gate.rows=25")
    needed = r"30 rows are left .* 35 are needed \(data\.min_train_rows=10 \+ gate\.rows=25\)"
    with pytest.raises(RefusedData, match=needed):
        rows.check(night)
    with pytest.raises(UserError, match=needed):
        rows.frozen_gate(night, Stages(night.store, tiny_base, run_plainly))


def test_a_frozen_gate_takes_no_more_rows(night_of: NightOf, tiny_base: BaseModel) -> None:
    night = night_of("gate.rows=5")
    rows.check(night)
    assert rows.frozen_gate(night, Stages(night.store, tiny_base, run_plainly)).count == 5
    rows.check(night_of("gate.rows=300", "data.split.held_out_rows=300"))
