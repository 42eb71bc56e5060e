"""Which judge `make ab` takes, and what it is given."""

from pathlib import Path
from typing import Any

import pytest

import flows.traffic
from flows.serving import Sections
from flows.used_command import Used, read_used
from loraflow.config import Config
from loraflow.model.source import BaseModel
from loraflow.serve.traffic import judging
from loraflow.serve.traffic.gather import Traffic, read_traffic
from loraflow.serve.traffic.shadows import Judged
from loraflow.serve.traffic.table import reading
from tests.conftest import composed
from tests.serve.traffic.made_traffic import START, exchange, write_log

OPENAI = ("judge=openai", "judge.api.model=m")


@pytest.fixture
def traffic(tmp_path: Path) -> Traffic:
    exchanges = [exchange("a"), exchange("s", arm="shadow", shadow_of="a", answer="影")]
    with reading(write_log(tmp_path / "log.db", exchanges)) as table:
        found = read_traffic(table, START)
    assert found is not None
    return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Hear of the bases that are fetched, and of what a judge is given."""
    heard: list[Any] = []

    def find_base(model: Any, quantization: Any) -> BaseModel:
        heard.append((model.location, quantization.method))
        return BaseModel(model.location, Path(), "revision", False, quantization)

    def judge_pairs(bench: Any, pairs: Any, **given: Any) -> Judged:
        heard.append(given["settings"])
        return Judged("", {}, 0, 0, 0, trusted=False, sentences=[])

    monkeypatch.setattr("loraflow.model.source.find_base", find_base)
    monkeypatch.setattr(judging, "judge_pairs", judge_pairs)
    return heard


def used(tmp_path: Path, *words: str) -> Used[Sections]:
    return read_used("serve", Sections, [f"serve.folder={tmp_path}", *words])


def served(monkeypatch: pytest.MonkeyPatch, config: Config | None) -> None:
    """Have the champion's training say that; None: nobody may ask."""

    def served_config(*found: Any) -> Config:
        assert config is not None, "the registry was asked"
        return config

    monkeypatch.setattr(flows.traffic, "served_config", served_config)
    monkeypatch.setattr(flows.traffic, "find_given", lambda used: (None, {}))


def test_a_local_judge_is_the_base_that_is_served(
    traffic: Traffic, asked: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served(monkeypatch, composed("model=hub", "model.location=own/base", "quantization=nf4"))
    flows.traffic._judge(used(tmp_path, "judge=local"), traffic)
    assert asked[0] == ("own/base", "nf4")
    assert asked[1]["kind"] == "local" and asked[1]["model"][0] == "revision"


def test_a_judge_of_its_own_model_asks_no_registry(
    traffic: Traffic, asked: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served(monkeypatch, None)
    words = ("judge=local_other", "judge.model.location=other/judge")
    flows.traffic._judge(used(tmp_path, *words), traffic)
    assert asked[0][0] == "other/judge"


def test_an_endpoint_needs_no_base(
    traffic: Traffic, asked: list[Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    served(monkeypatch, None)
    flows.traffic._judge(used(tmp_path, *OPENAI), traffic)
    flows.traffic._judge(used(tmp_path, *OPENAI, "judge.api.concurrency=9"), traffic)
    first, second = asked  # no base was fetched
    assert first == second and first["api"]["model"] == "m"
