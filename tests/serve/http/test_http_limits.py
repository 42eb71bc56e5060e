"""What is too much is refused with the reason: time, places, bytes, tokens."""

import json
import socket
import threading
from collections.abc import Iterator

import httpx
import openai
import pytest

from loraflow.model.source import BaseModel
from loraflow.serve.http.desk import Serving
from loraflow.serve.names.names import Names
from tests.serve.http.held_engine import HeldEngine
from tests.serve.http.served import HELLO, NATIVE, PATIENCE, Running, running, serve_config
from tests.serve.http.served import wait_until as until


@pytest.fixture
def engine(tiny_base: BaseModel) -> HeldEngine:
    return HeldEngine(tiny_base)


@pytest.fixture
def server(engine: HeldEngine) -> Iterator[Running]:
    limits = "queue: 2, body_bytes: 20000, prompt_tokens: 200, max_tokens: 64, seconds: 1"
    config = serve_config(f"serve.limits={{{limits}}}", "serve.answers_at_once=1")
    names = Names(engine.as_engine(), NATIVE)
    with running(Serving(config, engine.as_engine(), names, None, None, None)) as found:
        yield found


def error_of(reply: httpx.Response, status: int) -> dict[str, str]:
    assert reply.status_code == status, reply.text
    error: dict[str, str] = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


def test_an_answer_that_takes_too_long_is_given_up(server: Running, engine: HeldEngine) -> None:
    reply = server.chat()
    assert error_of(reply, 408)["code"] == "timeout"
    assert reply.headers["x-should-retry"] == "false"  # OpenAI's client would ask twice more
    assert error_of(server.chat(stream=True), 408)["code"] == "timeout"  # nothing was sent yet
    until(lambda: all(held.finish == "cancelled" for held in engine.answers))


def test_a_stream_that_takes_too_long_ends_with_an_error(
    server: Running, engine: HeldEngine
) -> None:
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)

    def begin() -> None:
        until(lambda: engine.answers)
        engine.answers[0].say("家")

    threading.Thread(target=begin).start()
    texts = []
    with pytest.raises(openai.APIError, match="not done within 1 s"):
        for chunk in client.chat.completions.create(
            model="base", messages=[{"role": "user", "content": "a"}], stream=True
        ):
            texts.append(chunk.choices[0].delta.content)
    assert texts == ["", "家"]
    until(lambda: engine.answers[0].finish == "cancelled")


def test_a_body_that_comes_too_slowly_is_given_up(server: Running) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        b"content-type: application/json\r\ncontent-length: 500\r\n\r\n{"
    )
    assert connection.recv(4096).startswith(b"HTTP/1.1 408")
    connection.close()


def test_a_full_queue_is_told_with_the_time_to_wait(server: Running, engine: HeldEngine) -> None:
    engine.is_full = True
    reply = server.chat()
    assert error_of(reply, 429)["type"] == "rate_limit_error"
    assert int(reply.headers["retry-after"]) >= 1
    assert server.metric("loraflow_queue_full_total") == 1


def test_no_more_are_let_in_than_are_answered_and_may_wait(
    server: Running, engine: HeldEngine
) -> None:
    replies: list[httpx.Response] = []
    threads = [threading.Thread(target=lambda: replies.append(server.chat())) for _ in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(engine.answers) == 3)
    error_of(server.chat(), 429)
    for held in engine.answers:
        held.say("好", "stop")
    for thread in threads:
        thread.join()
    assert [reply.status_code for reply in replies] == [200] * 3
    engine.at_once = "好"
    assert server.chat().status_code == 200  # there is room again


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("size", [20_001, 5_000_000])
def test_a_body_that_is_too_large_is_refused_and_not_kept(
    server: Running, announced: bool, size: int
) -> None:
    body = b'{"model": "' + b"a" * size
    headers = {"content-type": "application/json"}
    content = body if announced else iter([body[at : at + 65536] for at in range(0, size, 65536)])
    reply = server.client.post("/v1/chat/completions", content=content, headers=headers)
    assert error_of(reply, 413)["code"] == "body_too_large"


def test_an_endless_body_is_cut_off(server: Running) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        b"content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
    )
    piece = b"10000\r\n" + b"a" * 65536 + b"\r\n"
    with pytest.raises(OSError, match=r"reset|pipe"):
        for _ in range(10_000):
            connection.sendall(piece)
    until(lambda: server.desk.admission.open == 0)
    connection.close()


def test_a_huge_announced_body_is_refused_before_it_is_sent(server: Running) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\nexpect: 100-continue\r\n"
        b"content-type: application/json\r\ncontent-length: 99999999999\r\n\r\n"
    )
    assert connection.recv(4096).startswith(b"HTTP/1.1 413")
    connection.close()


def test_prompts_and_answers_are_bounded(server: Running, engine: HeldEngine) -> None:
    engine.at_once = "好"
    long = [{"role": "user", "content": "甄嬛" * 300}]
    assert error_of(server.chat(messages=long), 400)["code"] == "context_length_exceeded"
    many = [{"role": "user", "content": ""}] * 400
    assert error_of(server.chat(messages=many), 400)["code"] == "context_length_exceeded"
    for field in ("max_tokens", "max_completion_tokens"):
        assert error_of(server.chat(**{field: 65}), 400)["param"] == field
    assert server.chat(max_tokens=64).status_code == 200
    assert engine.answers[-1].wish.max_tokens == 64
    assert server.chat().status_code == 200
    assert engine.answers[-1].wish.max_tokens == 64  # serve.answers.max_tokens is beyond the limit


def test_an_answer_fits_behind_its_prompt(server: Running, engine: HeldEngine) -> None:
    engine.at_once, engine.context = "好", 40
    prompt = len(server.desk.names.prompt_ids(server.desk.names.listed()[0].adapter, HELLO))
    room = engine.context - prompt
    assert server.chat().status_code == 200
    assert engine.answers[-1].wish.max_tokens == room
    error = error_of(server.chat(max_tokens=room + 1), 400)
    assert error["code"] == "context_length_exceeded" and f"room for {room}" in error["message"]
    engine.context = prompt
    assert error_of(server.chat(), 400)["code"] == "context_length_exceeded"


def test_what_is_far_too_long_is_not_even_tokenized(
    server: Running, engine: HeldEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.context = 100
    monkeypatch.setattr(server.desk.names, "prompt_ids", lambda *_: pytest.fail("tokenized"))
    reply = server.chat(messages=[{"role": "user", "content": " " * 3300}])
    assert error_of(reply, 400)["code"] == "context_length_exceeded"


def test_a_model_that_fails_says_so_without_a_500(server: Running, engine: HeldEngine) -> None:
    def fail() -> None:
        until(lambda: engine.answers)
        engine.answers[-1].say("", "failed")

    threading.Thread(target=fail).start()
    assert error_of(server.chat(), 503)["code"] == "generation_failed"


def test_requests_go_on_while_a_long_prompt_is_tokenized(
    server: Running, engine: HeldEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    real = server.desk.names.prompt_ids

    def slow(adapter: object, messages: list[dict[str, str]]) -> list[int]:
        release.wait(PATIENCE)
        return real(adapter, messages)  # type: ignore[arg-type]

    monkeypatch.setattr(server.desk.names, "prompt_ids", slow)
    engine.at_once = "好"
    replies: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: replies.append(server.chat()))
    thread.start()
    until(lambda: server.desk.admission.open == 1)
    assert server.client.get("/health").status_code == 200
    release.set()
    thread.join()
    assert json.loads(replies[0].content)["choices"][0]["message"]["content"] == "好"
