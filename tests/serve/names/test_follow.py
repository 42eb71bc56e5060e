"""Names move as the registry's aliases move; what goes wrong leaves them, and does not last."""

import errno
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from loraflow.errors import UserError
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.adapters.find import AdapterFinder
from loraflow.serve.names import follow
from loraflow.serve.names.names import Names
from loraflow.serve.names.note import noted
from loraflow.tracking import fetch
from loraflow.tracking.connection import Unreachable
from tests.serve.names.following import Nights, names_of, until, versions

pytestmark = pytest.mark.filterwarnings("ignore")


def test_the_aliases_of_the_registry_are_followed(names: Names, nights: Nights) -> None:
    following = nights.follower(names)
    following.look()
    assert following.state.up and versions(names) == {"default": None, "base": None}
    nights.promote(1)
    following.look()
    assert versions(names) == {"default": 1, "base": None, "champion": 1}
    nights.promote(2)
    following.look()
    assert versions(names) == {"default": 2, "base": None, "champion": 2, "previous": 1}
    nights.registry.rollback(by="test", reason="worse")
    following.look()
    assert versions(names) == {"default": 1, "base": None, "champion": 1}
    assert names.moves == 2


def away(_: AdapterFinder) -> dict[str, int]:
    raise Unreachable("the model registry does not answer")


def test_while_the_registry_is_away_all_stays_and_a_new_server_serves_the_same(
    names: Names, nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.promote(1)
    following = nights.follower(names)
    following.look()
    monkeypatch.setattr(AdapterFinder, "aliases", away)
    following.look()
    assert not following.state.up and following.state.seen > 0
    assert "does not answer" in following.state.fault
    assert versions(names)["champion"] == 1
    restarted = names_of(names._engine)
    again = nights.follower(restarted)
    again.start()
    assert versions(restarted)["champion"] == 1
    monkeypatch.undo()
    until(lambda: again.state.up)
    again.close()


def test_a_version_that_cannot_be_served_leaves_the_champion_that_can_also_in_a_new_server(
    names: Names, nights: Nights, caplog: pytest.LogCaptureFixture
) -> None:
    nights.promote(1)
    following = nights.follower(names)
    following.look()
    nights.promote(2, replace(nights.base, revision="another"))
    for _ in range(3):
        following.look()
        assert following.state.up and versions(names)["champion"] == 1
        assert "version 2 cannot be served: champion was trained" in following.state.fault
    assert caplog.text.count("champion stays as it was") == 1
    restarted = names_of(names._engine)
    again = nights.follower(restarted)
    again.start()
    again.close()
    assert versions(restarted)["champion"] == 1
    assert noted(nights.note, nights.finder().cache)["champion"].version == 1


class Clock:
    """Time that passes when it is told to."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    time = monotonic


def test_what_cannot_be_served_is_tried_again_after_pauses_that_grow(
    names: Names, nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    nights.promote(1)
    clock, tried = Clock(), []

    def refuse(_: Names, name: str, adapter: Adapter) -> None:
        tried.append(clock.now - Clock.now)
        raise UserError("damaged")

    following = nights.follower(names)
    following._seconds = 5
    monkeypatch.setattr(follow, "time", clock)
    with monkeypatch.context() as patched:
        patched.setattr(Names, "point", refuse)
        for _ in range(200):
            following.look()
            assert "version 1 cannot be served: damaged" in following.state.fault
            clock.now += 5
    assert tried[:5] == [0, 5, 15, 35, 75]
    assert tried[-1] - tried[-2] == 300
    clock.now += 300
    following.look()
    assert versions(names)["champion"] == 1 and not following.state.fault


@pytest.mark.parametrize(
    ("broken", "fault"),
    [
        ((MlflowClient, "get_run"), MlflowException("database is locked")),
        ((LocalArtifactRepository, "_download_file"), OSError(errno.ENOSPC, "No space left")),
        ((fetch, "fetch_revision"), KeyError("a bug")),
    ],
)
def test_a_fault_of_one_fetch_is_gone_at_the_next_look_and_holds_up_no_other_alias(
    names: Names,
    nights: Nights,
    monkeypatch: pytest.MonkeyPatch,
    broken: tuple[Any, str],
    fault: Exception,
) -> None:
    nights.promote(1)
    champion, works = nights.promote(2).run_id, getattr(*broken)

    def fails(*given: Any, **named: Any) -> Any:
        if any(champion in f"{one} {getattr(one, 'artifact_dir', '')}" for one in given):
            raise fault
        return works(*given, **named)

    following = nights.follower(names)
    with monkeypatch.context() as patched:
        patched.setattr(*broken, fails)
        following.look()
    assert versions(names) == {"default": 1, "base": None, "previous": 1}
    assert following.state.up and "version 2 cannot be served" in following.state.fault
    time.sleep(following._seconds)
    following.look()
    assert versions(names)["champion"] == 2 and not following.state.fault


def test_files_that_were_damaged_and_are_whole_again_are_served(
    names: Names, nights: Nights
) -> None:
    nights.promote(1)
    (weights,) = (nights.folder / "artifacts").rglob("adapter_model.safetensors")
    whole = weights.read_bytes()
    weights.write_bytes(b"damaged")
    following = nights.follower(names)
    following.start()
    assert "is not what was registered (adapter_model.safetensors" in following.state.fault
    weights.write_bytes(whole)
    until(lambda: versions(names).get("champion") == 1)
    following.close()


def buggy(_: AdapterFinder) -> dict[str, int]:
    raise KeyError("a bug")


def test_a_bug_in_a_look_is_logged_once_with_its_place_and_ends_nothing(
    names: Names,
    nights: Nights,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    nights.promote(1)
    with monkeypatch.context() as patched:
        patched.setattr(AdapterFinder, "aliases", buggy)
        following = nights.follower(names)
        following.start()
        assert following.state.fault == "KeyError: 'a bug'"
        time.sleep(4 * following._seconds)
    until(lambda: versions(names).get("champion") == 1)
    following.close()
    assert caplog.text.count("Traceback") == 1


def test_a_note_that_cannot_be_written_or_read_keeps_nobody_from_serving(
    names: Names, nights: Nights
) -> None:
    nights.promote(1)
    following = nights.follower(names)
    nights.note.mkdir()
    following.look()
    assert versions(names)["champion"] == 1
    assert following.state.up and "aliases.json is not written" in following.state.fault
    nights.note.rmdir()
    following.look()
    assert nights.note.is_file() and not following.state.fault
    (about,) = (nights.folder / "cache").glob("*/about.json")
    for damaged, content in ((about, ""), (nights.note, "[1]"), (nights.note, '{"champion": ')):
        damaged.write_text(content)
        assert noted(nights.note, nights.finder().cache) == {}


def test_versions_that_nobody_needs_any_more_are_deleted(names: Names, nights: Nights) -> None:
    following, chat = nights.follower(names), nights.finder()
    nights.promote(1)
    first = chat.find("champion").folder
    for seed in (2, 3, 4):
        following.look()
        nights.promote(seed)
    following.look()
    assert nights.fetched() == [1, 3, 4]
    text = nights.note.read_text()
    assert first is not None and first.is_dir()
    nights.note.write_text(text.replace("{", f'{{"of another server": "{first.parent.name}",'))
    del chat  # its process ends
    following.look()
    assert nights.fetched() == [1, 3, 4]
    nights.note.write_text(text)
    following.look()
    assert nights.fetched() == [3, 4]
    assert versions(names) == {"default": 4, "base": None, "champion": 4, "previous": 3}


def test_a_registry_that_never_answers_does_not_hold_up_the_end(
    names: Names, nights: Nights, monkeypatch: pytest.MonkeyPatch
) -> None:
    following = nights.follower(names)
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
