"""Who hangs up is no longer answered, with a real server and raw sockets."""

import json
import socket
from collections.abc import Iterator

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
    names = Names(engine.as_engine(), NATIVE)
    serving = Serving(serve_config(), engine.as_engine(), names, None, None, None)
    with running(serving) as found:
        yield found


def begin(server: Running, **fields: object) -> socket.socket:
    body = json.dumps({"model": "base", "messages": HELLO, **fields}).encode()
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        b"content-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
    return connection


@pytest.mark.parametrize("stream", [False, True])
def test_a_closed_connection_cancels_the_answer(
    server: Running, engine: HeldEngine, stream: bool
) -> None:
    connection = begin(server, stream=stream)
    until(lambda: engine.answers)
    engine.answers[0].say("家父")
    if stream:
        assert b"text/event-stream" in connection.recv(4096)
    connection.close()
    until(lambda: engine.answers[0].finish == "cancelled")
    until(lambda: server.desk.admission.open == 0)
    assert server.metric("loraflow_disconnects_total") == 1
    assert server.metric('loraflow_answers_total{finish="cancelled",name="base"}') == 1
    status = "200" if stream else "499"
    assert server.metric(f'loraflow_requests_total{{name="base",status="{status}"}}') == 1


def test_who_hangs_up_before_the_first_token_is_not_answered(
    server: Running, engine: HeldEngine
) -> None:
    connection = begin(server, stream=True)
    until(lambda: engine.answers)
    connection.close()
    until(lambda: engine.answers[0].finish == "cancelled")


def test_who_hangs_up_within_the_body_leaves_nothing_behind(server: Running) -> None:
    connection = socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)
    connection.sendall(
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
        b'content-type: application/json\r\ncontent-length: 500\r\n\r\n{"model":'
    )
    until(lambda: server.desk.admission.open == 1)
    connection.close()
    until(lambda: server.desk.admission.open == 0)


def test_an_answer_that_nobody_reads_is_held_once_and_ends_in_time(engine: HeldEngine) -> None:
    names = Names(engine.as_engine(), NATIVE)
    config = serve_config("serve.limits.seconds=2")
    with running(Serving(config, engine.as_engine(), names, None, None, None)) as server:
        connection = begin(server, stream=True)
        until(lambda: engine.answers)
        for _ in range(20):
            engine.answers[0].say("a" * 1_000_000)  # far more than sockets hold
        until(lambda: engine.answers[0].finish == "cancelled")
        until(lambda: server.desk.admission.open == 0)
        connection.close()


def test_a_slow_reader_gets_everything_in_fewer_pieces(server: Running, engine: HeldEngine) -> None:
    connection = begin(server, stream=True)
    until(lambda: engine.answers)
    written = [f"<{number}>" + "长" * 3000 for number in range(500)]
    for text in written:
        engine.answers[0].say(text)
    engine.answers[0].say("", "stop")
    received = b""
    while b"[DONE]" not in received:
        received += connection.recv(65536)
    events = [line[6:] for line in received.splitlines() if line.startswith(b"data: {")]
    texts = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events]
    assert "".join(texts) == "".join(written)
    assert len(texts) < len(written)
    connection.close()
