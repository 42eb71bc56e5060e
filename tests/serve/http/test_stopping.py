"""SIGTERM: no more requests, those in the making end, then the server does."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from tests.serve.http.served import HELLO, PATIENCE, wait_until

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


def ask_meanwhile(
    client: httpx.Client, tokens: int, stream: bool
) -> tuple[threading.Thread, list[httpx.Response]]:
    """Begin a request, and return when it is being answered."""
    replies: list[httpx.Response] = []
    thread = threading.Thread(target=lambda: replies.append(ask(client, tokens, stream)))
    thread.start()
    wait_until(lambda: client.get("/health").json()["answering"] == 1)
    return thread, replies


@pytest.mark.parametrize("stream", [False, True])
def test_running_answers_end_and_new_requests_are_refused(start: Start, stream: bool) -> None:
    process, client = start(PATIENCE)
    thread, replies = ask_meanwhile(client, 20, stream)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: client.get("/health").status_code == 503)
    assert client.get("/health").json()["status"] == "stopping"
    refused = ask(client, 1)
    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "shutting_down" and refused.headers["retry-after"]
    thread.join()
    assert replies[0].status_code == 200 and replies[0].text.count("word") == 20
    assert process.wait(PATIENCE) == 0
    assert process.stderr is not None and "Traceback" not in process.stderr.read()


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_longer_than_the_grace_is_told_of_the_end(start: Start, stream: bool) -> None:
    process, client = start(0.5)
    thread, replies = ask_meanwhile(client, 500, stream)
    process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    thread.join()
    assert "shutting_down" in replies[0].text
    assert replies[0].status_code == (200 if stream else 503)
    assert process.wait(PATIENCE) == 0
    assert time.monotonic() - started < 10


def test_an_idle_server_ends_at_once_and_a_second_signal_waits_for_nobody(start: Start) -> None:
    process, client = start(10 * PATIENCE)
    assert client.get("/health").status_code == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(PATIENCE) == 0
    process, client = start(10 * PATIENCE)
    thread, _ = ask_meanwhile_lost(client)
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: client.get("/health").status_code == 503)
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0
    thread.join()


def ask_meanwhile_lost(client: httpx.Client) -> tuple[threading.Thread, list[str]]:
    """Begin a long request whose connection will break."""
    outcomes: list[str] = []

    def run() -> None:
        try:
            outcomes.append(ask(client, 900).text)
        except httpx.HTTPError as error:
            outcomes.append(type(error).__name__)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: client.get("/health").json()["answering"] == 1)
    return thread, outcomes
