"""MLflow is told what is trained: a night that goes on with the champion has its adapter."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from flows.night.start import find_start
from flows.night.tonight import Tonight
from flows.night_command import read_night
from loraflow.check import dump_config
from loraflow.errors import UserError
from loraflow.promote.line import Line
from loraflow.promote.registry.version import Version
from loraflow.tracking import fetch

NightOf = Callable[..., Tonight]
STAGES: Any = None  # a champion is fetched to the store by them


@pytest.fixture
def night_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NightOf:
    """Nights of a line whose champion, version 3, was trained as conf/ has it."""
    settings = dump_config(read_night([]).config)
    del settings["adapter"]["use_dora"]  # as a run of before there was such a key
    monkeypatch.setattr(fetch, "fetch_settings", lambda tracking, run_id: settings)
    monkeypatch.setattr(Tonight, "fetch", lambda night, stages, version: version.number)
    champion = Version(3, "r3", "models:/m3", {}, "")

    def night_of(*words: str) -> Tonight:
        line = Line(tmp_path, "tickets")
        night = Tonight(read_night(list(words)), line, line.begin("ann"))
        vars(night)["registry"] = SimpleNamespace(champion=lambda: champion)
        return night

    return night_of


def test_a_night_goes_on_with_the_champion_whatever_else_changed(night_of: NightOf) -> None:
    night = night_of("night.start=champion", "train.learning_rate=0.001")
    started: Any = find_start(night, STAGES)
    assert started == 3
    assert find_start(night_of("adapter.r=16"), STAGES) is None


@pytest.mark.parametrize(
    ("word", "has"),
    [
        ("adapter.r=16", "adapter.r=8"),
        ("adapter.alpha=4.0", "adapter.alpha=2.0"),
        ("adapter.target_modules=[q_proj,v_proj]", "adapter.target_modules=attention"),
        ("+adapter.rank_pattern.q_proj=4", "adapter.rank_pattern={}"),
    ],
)
def test_another_adapter_than_the_champions_is_refused(
    night_of: NightOf, word: str, has: str
) -> None:
    with pytest.raises(UserError, match=r"night\.start=champion .* version 3") as refused:
        find_start(night_of("night.start=champion", word), STAGES)
    assert f"has {has}, and {word.removeprefix('+')} is asked for" in str(refused.value)
    assert f"set {has}, or night.start=base" in str(refused.value)
