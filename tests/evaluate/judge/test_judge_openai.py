"""Faults of a real server are retried, counted or stopped for; the key is never shown."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from loraflow.config import ApiConfig
from loraflow.errors import UserError
from loraflow.evaluate.judge.base import Exchange, Game, Grade
from loraflow.evaluate.judge.openai import OpenAIJudge
from loraflow.evaluate.judge.prompts import load_prompts
from tests.evaluate.judge.fault_server import FaultServer, Reply, fault, said
from tests.evaluate.judge.scripted import ignore, row

KEY = "sk-very-secret-0123456789"
SETTINGS = ApiConfig(
    base_url=None,
    model="m",
    key_env="LORAFLOW_TEST_KEY",
    requests_per_minute=None,
    concurrency=4,
    timeout_seconds=5.0,
    attempts=3,
    max_tokens=2048,
    price_per_million_input=2.0,
    price_per_million_output=10.0,
)
ROW = row("1", "What is salt?", "A mineral.")
GAME = Game("1", ("What is salt?",), ("A mineral.",), ("A fish.",))

Script = Callable[[int, dict[str, Any]], Reply]


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SETTINGS.key_env, KEY)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loraflow.evaluate.judge.pace._FIRST_PAUSE", 0.05)


def judge_at(url: str, **changes: Any) -> OpenAIJudge:
    return OpenAIJudge(replace(SETTINGS, base_url=url, **changes), load_prompts(None))


def graded(script: Script, **changes: Any) -> tuple[Grade, FaultServer]:
    with FaultServer(script) as server:
        (grade,) = judge_at(server.url, **changes).grade([ROW], ignore)
    return grade, server


def in_turn(*replies: Reply) -> Script:
    return lambda number, _: replies[min(number, len(replies) - 1)]


def test_rating_is_asked_for_as_in_mt_bench() -> None:
    grade, server = graded(in_turn(said("Good. Rating: [[8]]")))
    assert (grade.rating, grade.raw, grade.failure) == (8, 8, "")
    assert grade.judgment == "Good. Rating: [[8]]"
    (body,) = server.requests
    assert (body["temperature"], body["max_tokens"], body["model"]) == (0, 2048, "m")
    system, user = body["messages"]
    assert system == {"role": "system", "content": "You are a helpful assistant."}
    assert "What is salt?" in user["content"] and "A mineral." in user["content"]
    assert grade.prompt == f"{system['content']}\n\n{user['content']}"
    assert server.keys == [f"Bearer {KEY}"]


def test_verdict() -> None:
    with FaultServer(in_turn(said("B lies. [[A]]"))) as server:
        judge = judge_at(server.url)
        (verdict,) = judge.play([GAME], ignore)
    assert (verdict.winner, verdict.judgment) == ("a", "B lies. [[A]]")
    assert judge.sees_both


def test_results_stand_in_the_order_asked() -> None:
    rows = [row(str(n), f"item-{n} ?", "answer") for n in range(1, 9)]

    def script(_: int, body: dict[str, Any]) -> Reply:
        number = int(body["messages"][1]["content"].partition("item-")[2].split()[0])
        return replace(said(f"[[{number}]]"), after=0.1 * (8 - number) / 8)

    heard: dict[int, Grade] = {}
    with FaultServer(script) as server:
        grades = judge_at(server.url).grade(rows, heard.__setitem__)
    assert [grade.rating for grade in grades] == list(range(1, 9))
    assert [heard[place] for place in range(8)] == grades
    assert 2 <= server.busiest <= SETTINGS.concurrency


@pytest.mark.parametrize(
    "first",
    [
        fault(408),
        fault(409),
        fault(429),
        fault(500),
        fault(503),
        Reply(b"<html>Bad gateway</html>", 502, {"content-type": "text/html"}),
        Reply(b"<html>Welcome</html>", 200, {"content-type": "text/html"}),
        Reply(b'{"choices": [{"mess'),
        Reply(b'{"error": {"message": "upstream"}}'),
        Reply(b'{"choices": []}'),
        Reply(b"[]"),
        Reply(b""),
        replace(said("[[1]]"), after=1.5),  # longer than the timeout below
    ],
)
def test_passing_fault_is_asked_again(first: Reply) -> None:
    grade, server = graded(in_turn(first, said("[[8]]")), timeout_seconds=1.0)
    assert grade.rating == 8
    assert len(server.requests) == 2


def test_retry_after_is_honoured() -> None:
    _, server = graded(in_turn(fault(429, retry_after="1.2"), said("[[8]]")))
    assert server.times[1] - server.times[0] >= 1.2


def test_retry_after_may_be_a_date() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)
    _, server = graded(in_turn(fault(503, retry_after=date), said("[[8]]")))
    assert server.times[1] - server.times[0] >= 0.5


def test_hour_long_pause_is_a_failure_at_once() -> None:
    grade, server = graded(in_turn(fault(429, "come back later", retry_after="3600")))
    assert grade.failure == "call" and "come back later" in grade.judgment
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (fault(500, "out of order"), "out of order"),
        (Reply(b"garbage"), "garbage"),
        (replace(said("[[1]]"), after=0.8), "timed out"),
    ],
)
def test_lasting_fault_is_a_failure_with_its_reason(reply: Reply, reason: str) -> None:
    grade, server = graded(in_turn(reply), timeout_seconds=0.3)
    assert (grade.rating, grade.raw, grade.failure) == (None, None, "call")
    assert reason in grade.judgment
    assert len(server.requests) == SETTINGS.attempts


def test_server_that_is_not_there_is_a_failure() -> None:
    with FaultServer(in_turn(said(""))) as server:
        url = server.url
    (grade,) = judge_at(url).grade([ROW], ignore)
    assert grade.failure == "call" and "onnection" in grade.judgment


@pytest.mark.parametrize("status", [400, 413, 422])
def test_refused_request_is_not_repeated(status: int) -> None:
    grade, server = graded(in_turn(fault(status, "too long")))
    assert grade.failure == "call" and "too long" in grade.judgment
    assert len(server.requests) == 1


QUOTA = Reply(b'{"error": {"message": "pay", "code": "insufficient_quota"}}', 429)
PARAMETER = Reply(b'{"error": {"message": "unsupported", "param": "temperature"}}', 400)


@pytest.mark.parametrize(
    ("reply", "match"),
    [
        (fault(401, f"bad key {KEY}"), "judge.api.key_env=LORAFLOW_TEST_KEY: .*refuses the key"),
        (fault(403), "judge.api.key_env=LORAFLOW_TEST_KEY: .*refuses the key"),
        (fault(404, "no such model"), "judge.api.model='m' is not known .*no such model.*base_url"),
        (QUOTA, "judge.api.key_env=.*no credit"),
        (PARAMETER, "judge.api.model='m' does not take temperature"),
    ],
)
def test_what_every_call_would_meet_stops(reply: Reply, match: str) -> None:
    with pytest.raises(UserError, match=match) as caught:
        graded(in_turn(reply))
    assert KEY not in str(caught.value)
    assert caught.value.__suppress_context__  # the cause may hold the key


def test_reply_without_a_rating_is_asked_for_the_format() -> None:
    grade, server = graded(in_turn(said("It is good."), said("Rating: [[7]]")))
    assert grade.rating == 7
    first, second = (request["messages"][1]["content"] for request in server.requests)
    assert second.startswith(first) and second.endswith('exactly this form: "Rating: [[n]]".')
    assert grade.prompt.endswith(second)


@pytest.mark.parametrize("text", ["It is good.", "", None, "Rating: [[85]]"])
def test_second_reply_without_a_rating_is_a_failure(text: str | None) -> None:
    grade, server = graded(in_turn(said(text)))
    assert (grade.rating, grade.failure, grade.judgment) == (None, "format", text or "")
    assert len(server.requests) == 2


def test_usage_and_cost_are_counted() -> None:
    unpriced = Reply(b'{"choices": [{"message": {"content": "[[5]]"}}]}')
    with FaultServer(in_turn(fault(500), said("none"), said("[[5]]"), unpriced)) as server:
        judge = judge_at(server.url)
        judge.grade([ROW], ignore)
        judge.grade([ROW], ignore)
    usage = judge.usage
    assert (usage.requests, usage.input_tokens, usage.output_tokens) == (4, 200, 20)
    assert usage.uncounted == 1
    assert usage.cost == pytest.approx((200 * 2.0 + 20 * 10.0) / 1e6)


def test_requests_keep_their_pace() -> None:
    with FaultServer(in_turn(said("[[5]]"))) as server:
        judge_at(server.url, requests_per_minute=300).grade([ROW] * 5, ignore)
    gaps = [after - before for before, after in zip(server.times, server.times[1:], strict=False)]
    assert sum(gaps) >= 4 * 0.2 - 0.05


def test_key_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with FaultServer(in_turn(fault(500, f"the key {KEY} is known"))) as server:
        judge = judge_at(server.url)
        (grade,) = judge.grade([ROW], ignore)
    assert "the key *** is known" in grade.judgment
    for shown in (caplog.text, repr(judge), repr(judge._endpoint), repr(grade)):
        assert KEY not in shown


@pytest.mark.parametrize(
    ("url", "value", "match"),
    [
        ("https://judge.example/v1", "", "judge.api.key_env=LORAFLOW_TEST_KEY: .*not set"),
        ("https://judge.example/v1", "sk-\nbad", "key_env=.*a character that no key has"),
        ("https://judge.example/v1", "sk-密", "key_env=.*a character that no key has"),
        ("judge.example/v1", KEY, "judge.api.base_url='judge.example/v1' must begin with"),
        ("https://me:pass@judge.example", KEY, "base_url='judge.example' must .*no password"),
        ("http://[::1", KEY, "judge.api.base_url="),
        ("http://127.0.0.1:port/v1", KEY, "judge.api.base_url="),
    ],
)
def test_wrong_key_or_address_is_refused(
    monkeypatch: pytest.MonkeyPatch, url: str, value: str, match: str
) -> None:
    monkeypatch.setenv(SETTINGS.key_env, value)
    with pytest.raises(UserError, match=match) as caught:
        judge_at(url)
    assert "pass@" not in str(caught.value) and "bad" not in str(caught.value)


def test_loopback_needs_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SETTINGS.key_env)
    grade, server = graded(in_turn(said("[[5]]")))
    assert grade.rating == 5 and KEY not in server.keys[0]
    judge_at("http://localhost:9/v1")
    judge_at("http://[::1]:9/v1")


def test_hash_names_what_is_asked() -> None:
    judge = judge_at("http://127.0.0.1:9/v1")
    longer = judge_at("http://127.0.0.1:9/v1", max_tokens=9)
    other = Exchange("2", ROW.questions, ("A fish.",))
    hashes = [judge.prompt_hash(ROW), judge.prompt_hash(other), judge.prompt_hash(GAME)]
    assert len({*hashes, longer.prompt_hash(ROW)}) == 4
    assert judge.prompt_hash(replace(ROW, id="9")) == hashes[0]
    assert (judge.prompt_name(ROW), judge.prompt_name(GAME)) == ("single-v1", "pair-v2")


def test_half_a_surrogate_pair_does_not_end_the_run() -> None:
    with FaultServer(in_turn(said("[[5]]"))) as server:
        (grade,) = judge_at(server.url).grade([row("1", "?", "\ud83d broken")], ignore)
    assert grade.rating == 5


INTERRUPTED = """
import sys
from tests.evaluate.judge.scripted import ignore
from tests.evaluate.judge.test_judge_openai import ROW, judge_at
judge = judge_at(sys.argv[1], timeout_seconds=60.0)
print("ready", flush=True)
judge.grade([ROW] * 20, ignore)
"""


def test_interrupt_waits_for_no_call() -> None:
    with FaultServer(lambda *_: replace(said("[[5]]"), after=30.0)) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTED, server.url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            text=True,
        )
        assert process.stdout is not None
        process.stdout.readline()
        while len(server.requests) < SETTINGS.concurrency and process.poll() is None:
            time.sleep(0.05)
        start = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors and KEY not in errors
    assert time.monotonic() - start < 10
    assert len(server.requests) == SETTINGS.concurrency  # no other call was begun
