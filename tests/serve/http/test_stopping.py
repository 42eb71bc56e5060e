"""SIGTERM: no more requests, those in the making end, then the server does."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.http.served import HELLO, PATIENCE, wait_until

pytestmark = pytest.mark.slow

Start = Callable[[float], tuple[subprocess.Popen[str], httpx.Client]]


@pytest.fixture
def start(tiny_folder: Path) -> Iterator[Start]:
    processes = []

    def begin(grace_seconds: float) -> tuple[subprocess.Popen[str], httpx.Client]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.serve.http.stopped_server",
             str(tiny_folder), str(grace_seconds)],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        processes.append(process)
        assert process.stdout is not None
        port = process.stdout.readline().strip()
        url = f"http://127.0.0.1:{port}"
        return process, httpx.Client(base_url=url, timeout=PATIENCE, trust_env=False)

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def ask(client: httpx.Client, tokens: int, stream: bool = False) -> httpx.Response:
    body = {"model": "base", "messages": HELLO, "max_tokens": tokens, "stream": stream}
    return client.post("/v1/chat/completions", json=body)


def answering(client: httpx.Client) -> float:
    rows = client.get("/metrics").text.splitlines()
    return next(float(row.split()[1]) for row in rows if row.startswith("loraflow_answering "))


def ask_meanwhile(
    client: httpx.Client, tokens: int, stream: bool
) -> tuple[threading.Thread, list[httpx.Response]]:
    """Begin a request, and return when it is being answered."""
    replies: list[httpx.Response] = []

    before = answering(client)
    thread = threading.Thread(target=lambda: replies.append(ask(client, tokens, stream)))
    thread.start()
    wait_until(lambda: answering(client) == before + 1)
    return thread, replies


def test_running_answers_end_and_new_requests_are_refused(start: Start) -> None:
    process, client = start(10 * PATIENCE)
    running = [ask_meanwhile(client, 30, stream) for stream in (False, True)]
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: client.get("/health").status_code == 503)
    assert client.get("/health").json()["status"] == "stopping"
    refused = ask(client, 1)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "shutting_down" and refused.headers["retry-after"]
    for thread, replies in running:
        thread.join()
        assert replies[0].status_code == 200 and replies[0].text.count("word") == 30
    assert process.wait(PATIENCE) == 0
    assert process.stderr is not None and "Traceback" not in process.stderr.read()


def test_answers_longer_than_the_grace_are_told_of_the_end(start: Start) -> None:
    process, client = start(0.5)
    running = {stream: ask_meanwhile(client, 900, stream) for stream in (False, True)}
    process.send_signal(signal.SIGINT)
    for stream, (thread, replies) in running.items():
        thread.join()
        assert "shutting_down" in replies[0].text
        assert replies[0].status_code == (200 if stream else 503)
    assert process.wait(PATIENCE) == 0


def test_a_second_signal_waits_for_nobody(start: Start) -> None:
    process, client = start(10 * PATIENCE)
    thread, replies = ask_meanwhile(client, 900, False)
    with socket.create_connection((client.base_url.host, client.base_url.port or 0)) as slow:
        slow.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\n"
            b"content-type: application/json\r\ncontent-length: 500\r\n\r\n{"
        )
        _end_by_two_signals(process, client)
        assert slow.recv(4096).startswith(b"HTTP/1.1 503")  # whose body never came
    thread.join()
    assert replies[0].status_code == 503


def _end_by_two_signals(process: subprocess.Popen[str], client: httpx.Client) -> None:
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: client.get("/health").status_code == 503)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
