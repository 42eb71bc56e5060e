"""A name moves in one step: old answers end on the old adapter, new ones begin on the new."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loraflow.config import TemplateConfig, TrackingConfig
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from loraflow.serve.adapters.adapter import BASE
from loraflow.serve.adapters.find import AdapterFinder
from loraflow.serve.engine.engine import Engine
from loraflow.serve.engine.wish import Wish
from loraflow.serve.names.follow import Follower, noted
from loraflow.serve.names.names import Names, UnknownName
from loraflow.tracking.connection import Unreachable
from tests.promote.registered import tracking_in
from tests.serve.asked import Asked
from tests.serve.made_adapters import adapter_in, make_adapter
from tests.serve.trained_runs import log_run, promote

pytestmark = pytest.mark.filterwarnings("ignore")

NATIVE = TemplateConfig("native", None)


@pytest.fixture
def engine(tiny_base: BaseModel) -> Iterator[Engine]:
    engine = Engine(tiny_base, answers_at_once=4, queue=8)
    yield engine
    engine.close()


@pytest.fixture
def names(engine: Engine) -> Names:
    return Names(engine, NATIVE)


@pytest.fixture
def tracking(tmp_path: Path) -> TrackingConfig:
    return tracking_in(tmp_path)


def follower(names: Names, tracking: TrackingConfig, tmp_path: Path) -> Follower:
    finder = AdapterFinder(
        tracking, registered="m", key="serve.registered", cache=tmp_path / "cache"
    )
    return Follower(names, finder, note=tmp_path / "aliases.json", seconds=0.05)


def versions(names: Names) -> dict[str, int | None]:
    return {named.name: named.adapter.version for named in names.listed()}


def test_a_name_that_moves_lets_answers_in_the_making_end_on_the_old_adapter(
    engine: Engine, names: Names, tiny_base: BaseModel, tmp_path: Path
) -> None:
    old, new = (adapter_in(make_adapter(tiny_base, tmp_path / str(seed), seed)) for seed in (1, 2))
    names.point("mine", old)
    wish = Wish([5, 6, 7], 300)
    expected = {one.digest: _alone(tiny_base, one, wish) for one in (old, new)}
    assert len(set(expected.values())) == 2
    with names.lease("mine") as leased:
        asked = Asked(engine, leased, wish)
        asked.next()
        names.point("mine", new)
        names.tidy()
        with names.lease("mine") as after:
            assert after.digest == new.digest
            assert Asked(engine, after, wish).whole().text == expected[new.digest]
        assert asked.whole().text == expected[old.digest]
    assert old.digest in names._loaded
    names.tidy()
    assert names._loaded == {new.digest}
    assert names.moves == 1


def _alone(base: BaseModel, adapter: Any, wish: Wish) -> str:
    engine = Engine(base, answers_at_once=1, queue=1)
    engine.load(adapter)
    text = Asked(engine, adapter, wish).whole().text
    engine.close()
    return text


def test_default_is_the_champion_else_the_first_given_else_the_base(
    names: Names, tiny_base: BaseModel, tmp_path: Path
) -> None:
    one, two = (adapter_in(make_adapter(tiny_base, tmp_path / str(seed), seed)) for seed in (1, 2))
    assert names.listed()[0].adapter is BASE
    names.point("mine", one)
    assert names.listed()[0].adapter is one
    names.point("champion", two)
    assert names.listed()[0].adapter is two
    names.drop("champion")
    assert names.listed()[0].adapter is one


def test_an_unknown_name_says_which_there_are(names: Names) -> None:
    with (
        pytest.raises(UnknownName, match=r"'bsae' is not served here \(did you mean base\?\)"),
        names.lease("bsae"),
    ):
        pass


def test_an_adapter_of_another_base_is_refused_and_the_name_stays(
    names: Names, tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    adapter = adapter_in(make_adapter(tiny_base, tmp_path / "a", 1))
    names.point("mine", adapter)
    with pytest.raises(UserError, match="trained on another base model"):
        names.point("mine", replace(adapter, digest="other", base_revision="other"))
    with names.lease("mine") as leased:
        assert leased is adapter


def test_each_adapter_is_asked_by_the_template_of_its_training(
    names: Names, tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    night = log_run(tracking, tiny_base, tmp_path / "a", 1, "template=alpaca")
    adapter = AdapterFinder(
        tracking, registered=None, key="serve.registered", cache=tmp_path / "c"
    ).find(f"run:{night.run_id}")
    names.point("mine", adapter)
    messages = [{"role": "user", "content": "你是谁？"}]
    tokenizer = names._engine.tokenizer
    asked = tokenizer.decode(names.prompt_ids(adapter, messages))
    assert "### Instruction" in asked and "你是谁？" in asked
    assert tokenizer.decode(names.prompt_ids(BASE, messages)).startswith("<|im_start|>user")


def test_the_aliases_of_the_registry_are_followed(
    names: Names, tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    registry = Registry(tracking, "m")
    following = follower(names, tracking, tmp_path)
    following.look()
    assert following.state.up and versions(names) == {"default": None, "base": None}
    nights = [log_run(tracking, tiny_base, tmp_path / str(seed), seed) for seed in (1, 2)]
    promote(registry, nights[0])
    following.look()
    assert versions(names) == {"default": 1, "base": None, "champion": 1}
    promote(registry, nights[1])
    following.look()
    assert versions(names) == {"default": 2, "base": None, "champion": 2, "previous": 1}
    registry.rollback(by="test", reason="worse")
    following.look()
    assert versions(names) == {"default": 1, "base": None, "champion": 1}
    assert names.moves == 2


def test_while_the_registry_is_away_all_stays_and_a_new_server_serves_the_same(
    names: Names,
    tracking: TrackingConfig,
    tiny_base: BaseModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry(tracking, "m")
    promote(registry, log_run(tracking, tiny_base, tmp_path / "1", 1))
    following = follower(names, tracking, tmp_path)
    following.look()

    def away(_: AdapterFinder) -> dict[str, int]:
        raise Unreachable("the model registry does not answer")

    monkeypatch.setattr(AdapterFinder, "aliases", away)
    following.look()
    assert not following.state.up and following.state.seen > 0
    assert "does not answer" in following.state.fault
    assert versions(names)["champion"] == 1
    restarted = Names(names._engine, NATIVE)
    again = follower(restarted, tracking, tmp_path)
    again.start()
    assert versions(restarted)["champion"] == 1
    monkeypatch.undo()
    _until(lambda: again.state.up)
    again.close()


def _until(is_so: Any) -> None:
    for _ in range(600):
        if is_so():
            return
        time.sleep(0.05)
    raise AssertionError("never came")


def test_a_version_that_cannot_be_served_leaves_the_champion_that_can(
    names: Names, tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    registry = Registry(tracking, "m")
    promote(registry, log_run(tracking, tiny_base, tmp_path / "1", 1))
    following = follower(names, tracking, tmp_path)
    following.look()
    other = replace(tiny_base, revision="another")
    promote(registry, log_run(tracking, other, tmp_path / "2", 2))
    following.look()
    assert versions(names)["champion"] == 1
    assert following.state.up
    assert "trained on another base" in following.state.fault
    following.look()
    assert "version 2 cannot be served" in following.state.fault


def test_what_goes_wrong_once_is_tried_again_at_the_next_look(
    names: Names,
    tracking: TrackingConfig,
    tiny_base: BaseModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry(tracking, "m")
    following = follower(names, tracking, tmp_path)
    following.start()
    find, faults = AdapterFinder.of_version, [OSError("disk full"), KeyError("a bug"), None]

    def of_version(finder: AdapterFinder, number: int, source: str) -> Any:
        fault = faults.pop(0) if faults else None
        if fault is not None:
            raise fault
        return find(finder, number, source)

    monkeypatch.setattr(AdapterFinder, "of_version", of_version)
    promote(registry, log_run(tracking, tiny_base, tmp_path / "1", 1))
    _until(lambda: versions(names).get("champion") == 1)
    assert not faults
    _until(lambda: following.state == replace(following.state, up=True, fault=""))
    following.close()


def test_a_note_that_cannot_be_written_or_read_keeps_nobody_from_serving(
    names: Names,
    tracking: TrackingConfig,
    tiny_base: BaseModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    registry = Registry(tracking, "m")
    promote(registry, log_run(tracking, tiny_base, tmp_path / "1", 1))
    following = follower(names, tracking, tmp_path)
    note = tmp_path / "aliases.json"
    note.mkdir()
    following.look()
    assert versions(names)["champion"] == 1
    assert following.state.up and "aliases.json is not written" in following.state.fault
    note.rmdir()
    following.look()
    assert note.is_file() and not following.state.fault
    for damage in ("", "[1]", '{"champion": '):
        note.write_text(damage)
        assert noted(note, following._finder) == {}


def test_several_servers_that_move_at_once_share_a_folder(
    names: Names, tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    registry = Registry(tracking, "m")
    nights = [log_run(tracking, tiny_base, tmp_path / str(seed), seed) for seed in (1, 2)]
    promote(registry, nights[0])
    finders = [
        AdapterFinder(tracking, registered="m", key="serve.registered", cache=tmp_path / "c")
        for _ in range(4)
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda finder: finder.of_version(1, "champion"), finders))
    assert len({adapter.digest for adapter in found}) == 1
    kept = [path.name for path in (tmp_path / "c").iterdir() if path.suffix != ".lock"]
    assert kept == [found[0].folder.parent.name]


def test_a_registry_that_never_answers_does_not_hold_up_the_end(
    names: Names, tracking: TrackingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = follower(names, tracking, tmp_path)
    following.start()
    asked, answer = threading.Event(), threading.Event()

    def frozen(_: AdapterFinder) -> dict[str, int]:
        asked.set()
        answer.wait()
        return {}

    monkeypatch.setattr(AdapterFinder, "aliases", frozen)
    assert asked.wait(10)
    begun = time.monotonic()
    following.close()
    assert time.monotonic() - begun < 10
    answer.set()
