"""Requests for `default` are dealt out, shadowed and logged."""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from loraflow.model.source import BaseModel
from loraflow.serve.adapters.adapter import BASE
from loraflow.serve.http.desk import Serving
from loraflow.serve.names.names import Names
from loraflow.serve.traffic.log import TrafficLog
from loraflow.serve.traffic.split import arm_of, deal_of, hashed_user
from tests.serve.http.held_engine import HeldEngine
from tests.serve.http.served import HELLO, NATIVE, Running, running, serve_config
from tests.serve.http.served import wait_until as until

Rows = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def engine(tiny_base: BaseModel) -> HeldEngine:
    return HeldEngine(tiny_base)


@contextmanager
def serving(
    engine: HeldEngine, folder: Path, *overrides: str
) -> Iterator[tuple[Running, Names, Rows]]:
    names = Names(engine.as_engine(), NATIVE)
    for number, alias in enumerate(("champion", "challenger"), 1):
        names.point(alias, replace(BASE, digest=alias * 8, version=number, run_id=f"run{number}"))
    log = TrafficLog(folder / "log.db")
    config = serve_config(*overrides)
    with running(Serving(config, engine.as_engine(), names, None, log, None)) as server:

        def rows() -> list[dict[str, Any]]:
            until(lambda: server.desk.admission.open == 0)
            until(lambda: not log._rows)
            with sqlite3.connect(folder / "log.db") as table:
                table.row_factory = sqlite3.Row
                return [dict(row) for row in table.execute("SELECT * FROM exchanges ORDER BY at")]

        yield server, names, rows
    log.close()


def test_users_are_dealt_out_by_name_and_stay(engine: HeldEngine, tmp_path: Path) -> None:
    engine.at_once = "好"
    with serving(engine, tmp_path, "serve.traffic.mode=split") as (server, _, rows):
        traffic = server.desk.config.traffic
        users = [f"user{number}" for number in range(12)]
        for user in users:
            reply = server.chat(model="default", user=user)
            expected = arm_of(user, traffic)
            version = {"control": "1", "candidate": "2"}[expected]
            assert reply.headers["x-loraflow-adapter"] == version
            assert reply.json()["model"] == "default"
        for fields, header in (
            ({"safety_identifier": users[0], "user": "other"}, "third"), ({}, users[0]),
        ):  # fmt: skip
            server.client.headers["x-user"] = header
            server.chat(model="default", **fields)
        logged = rows()
        assert [row["arm"] for row in logged[:12]] == [arm_of(user, traffic) for user in users]
        assert {row["user"] for row in logged[12:]} == {hashed_user(users[0], traffic)}
        assert users[0] not in str(logged)
        assert {row["arm"] for row in logged} == {"control", "candidate"}


def test_an_unnamed_user_is_known_by_the_first_message(engine: HeldEngine, tmp_path: Path) -> None:
    engine.at_once = "好"
    with serving(engine, tmp_path, "serve.traffic.mode=split") as (server, _, rows):
        server.chat(model="default")
        more = [{"role": "assistant", "content": "好"}, {"role": "user", "content": "再说"}]
        server.chat(model="default", messages=[*HELLO, *more])
        server.chat(model="default", messages=more[1:])
        first, second, third = (row["user"] for row in rows())
        assert first == second != third


def test_only_default_is_dealt_out_and_only_while_there_are_two(
    engine: HeldEngine, tmp_path: Path
) -> None:
    engine.at_once = "好"
    with serving(engine, tmp_path, "serve.traffic.mode=split") as (server, names, rows):
        server.chat(model="champion", user="a")
        names.drop("challenger")
        users = [f"user{number}" for number in range(8)]
        assert {server.chat(model="default", user=user).status_code for user in users} == {200}
        logged = rows()
        assert {row["version"] for row in logged} == {1}
        assert {row["arm"] for row in logged} == {""}  # the control of nothing is none
        names.point("challenger", replace(BASE, digest="back" * 16, version=3))
        assert {server.chat(model="default", user=user).status_code for user in users} == {200}
        assert {row["arm"] for row in rows()[9:]} == {"control", "candidate"}


def test_the_log_notes_how_users_were_dealt_out(engine: HeldEngine, tmp_path: Path) -> None:
    engine.at_once = "好"
    for mode in ("split", "shadow", "off"):
        overrides = (f"serve.traffic.mode={mode}", "serve.traffic.share=0.25")
        with serving(engine, tmp_path / mode, *overrides) as (server, _, rows):
            for name in ("default", "champion"):
                server.chat(model=name)
            deal = deal_of(server.desk.config.traffic)
            if mode == "shadow":
                until(lambda: len(rows()) == 3)
            assert {row["deal"] for row in rows()} == {deal}
            assert deal.startswith("split 0.25 " if mode == "split" else f"{mode} ")


def test_an_answer_can_be_rated_while_it_streams(engine: HeldEngine, tmp_path: Path) -> None:
    with serving(engine, tmp_path, "serve.traffic.mode=split") as (server, _, rows):
        asked = {"model": "default", "messages": HELLO, "stream": True, "user": "甄嬛"}

        def begin() -> None:
            until(lambda: engine.answers)
            engine.answers[0].say("家")

        thread = threading.Thread(target=begin)
        thread.start()
        with server.client.stream("POST", "/v1/chat/completions", json=asked) as reply:
            lines = reply.iter_lines()
            first = next(line for line in lines if line.startswith("data: "))
            said = {"id": json.loads(first.removeprefix("data: "))["id"], "rating": "down"}
            with httpx.Client(base_url=server.url, trust_env=False) as other:
                assert other.post("/v1/feedback", json=said).status_code == 200
            engine.answers[0].say("父", "stop")
            assert list(lines)[-2:] == ["data: [DONE]", ""]
        thread.join()
        (row,) = rows()
        assert (row["id"], row["answer"]) == (said["id"], "家父")
        with closing(sqlite3.connect(tmp_path / "log.db")) as table:
            assert table.execute("SELECT id, rating FROM ratings").fetchall() == [
                (said["id"], "down")
            ]


def test_every_exchange_is_logged_however_it_ends(engine: HeldEngine, tmp_path: Path) -> None:
    with serving(engine, tmp_path, "serve.limits.seconds=1") as (server, _, rows):
        engine.at_once = "好"
        server.chat(model="champion", user="甄嬛")
        engine.at_once = None

        def fail() -> None:
            until(lambda: len(engine.answers) == 2)
            engine.answers[1].say("家")
            engine.answers[1].say("", "failed")

        thread = threading.Thread(target=fail)
        thread.start()
        assert server.chat().status_code == 503
        thread.join()
        assert server.chat().status_code == 408
        good, failed, late = rows()
    assert good["finish"] == "stop" and good["answer"] == "好" and good["run_id"] == "run1"
    assert json.loads(good["messages"]) == HELLO
    assert good["id"].startswith("chatcmpl-") and good["shadow_of"] is None
    assert 0 < good["first_token_seconds"] <= good["seconds"] < 1
    assert (failed["finish"], failed["answer"], failed["answer_tokens"]) == ("failed", "家", 2)
    assert (late["finish"], late["answer"]) == ("cancelled", "")
    assert late["first_token_seconds"] == late["seconds"] >= 1


def test_the_candidate_answers_unseen_behind_the_control(
    engine: HeldEngine, tmp_path: Path
) -> None:
    with serving(engine, tmp_path, "serve.traffic.mode=shadow") as (server, _, rows):
        engine.at_once = "好"
        reply = server.chat(model="default", user="a")
        assert reply.headers["x-loraflow-adapter"] == "1"
        until(lambda: server.metric('loraflow_shadows_total{outcome="answered"}') == 1)
        seen, shadow = rows()
        assert (seen["arm"], seen["version"], seen["shadow_of"]) == ("control", 1, None)
        assert (shadow["arm"], shadow["version"]) == ("shadow", 2)
        assert shadow["shadow_of"] == seen["id"] == reply.json()["id"]
        assert shadow["messages"] == seen["messages"] and shadow["user"] == seen["user"]
        assert engine.answers[1].wish.background and not engine.answers[0].wish.background


def test_shadows_give_way_to_users_and_are_dropped_where_many_wait(
    engine: HeldEngine, tmp_path: Path
) -> None:
    overrides = ("serve.traffic.mode=shadow", "serve.limits.queue=4")
    with serving(engine, tmp_path, *overrides) as (server, _, _rows):
        dropped = 'loraflow_shadows_total{outcome="dropped"}'
        engine.at_once = "好"
        engine.waiting = 3  # more than half of the queue
        assert server.chat(model="default").status_code == 200
        until(lambda: server.metric(dropped) == 1)
        engine.waiting = 1  # it is remembered, and waits
        assert server.chat(model="default").status_code == 200
        assert len(engine.answers) == 2
        engine.at_once, engine.waiting = None, 0
        until(lambda: len(engine.answers) == 3)
        engine.answers[2].say("家")
        engine.waiting = 1  # a user needs the place
        until(lambda: engine.answers[2].finish == "cancelled")
        until(lambda: server.metric(dropped) == 2)


def test_a_shadow_without_a_candidate_is_counted(engine: HeldEngine, tmp_path: Path) -> None:
    engine.at_once = "好"
    with serving(engine, tmp_path, "serve.traffic.mode=shadow") as (server, names, rows):
        names.drop("challenger")
        assert server.chat(model="default").status_code == 200
        until(lambda: server.metric('loraflow_shadows_total{outcome="failed"}') == 1)
        assert [row["arm"] for row in rows()] == ["control"]


def test_a_moved_name_answers_new_requests_and_lets_old_ones_end(
    engine: HeldEngine, tmp_path: Path
) -> None:
    with serving(engine, tmp_path) as (server, names, _):
        replies: list[Any] = []
        thread = threading.Thread(target=lambda: replies.append(server.chat(model="champion")))
        thread.start()
        until(lambda: engine.answers)
        names.point("champion", replace(BASE, digest="new" * 20, version=7))
        engine.at_once = "新"
        assert server.chat(model="champion").headers["x-loraflow-adapter"] == "7"
        engine.answers[0].say("旧", "stop")
        thread.join()
        assert replies[0].headers["x-loraflow-adapter"] == "1"
        assert replies[0].json()["choices"][0]["message"]["content"] == "旧"
        assert server.metric("loraflow_adapter_swaps_total") == 1
