"""`make serve` as it is started: a champion that moves, a registry that dies, a kill."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from openai import OpenAI

from loraflow.config import TrackingConfig
from loraflow.model.source import find_base
from loraflow.promote.registry.registry import Registry
from tests.conftest import composed
from tests.serve.trained_runs import log_run, promote
from tests.tracking.mlflow_server import MlflowServer, free_port

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 120  # seconds
LONG = {"messages": [{"role": "user", "content": "你是谁？"}], "max_tokens": 300}


class Serving:
    """A server in a process of its own."""

    def __init__(self, folder: Path, tracking: TrackingConfig, *words: str) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.folder = folder
        self._words = [
            f"serve.port={self.port}",
            "serve.registered=m",
            "serve.poll_seconds=0.2",
            f"tracking.uri={tracking.uri}",
            f"tracking.experiment={tracking.experiment}",
            *words,
        ]
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> "Serving":
        with (self.folder / "serve.log").open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "flows.serve", *self._words],
                cwd=self.folder,
                env={
                    **os.environ,
                    "PYTHONPATH": f"{ROOT}/src:{ROOT}",
                    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
                },
                stdout=log,
                stderr=log,
                text=True,
            )
        until(lambda: self.process is None or self.process.poll() is not None or self._answers())
        assert self.process.poll() is None, self.said
        return self

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health").status_code == 200
        except httpx.HTTPError:
            return False

    @property
    def said(self) -> str:
        return (self.folder / "serve.log").read_text()

    def ask(self, model: str = "champion", **fields: Any) -> httpx.Response:
        body = {"model": model, **LONG, **fields}
        return httpx.post(f"{self.url}/v1/chat/completions", json=body, timeout=PATIENCE)

    def versions(self) -> dict[str, int | None]:
        models = httpx.get(f"{self.url}/v1/models").json()["data"]
        return {model["id"]: model["loraflow"]["version"] for model in models}

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


def until(is_so: Callable[[], object]) -> None:
    ends = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    server = MlflowServer(tmp_path_factory.mktemp("mlflow"))
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def tracking(mlflow: MlflowServer) -> TrackingConfig:
    return TrackingConfig(mlflow.uri, None, "served", "http://127.0.0.1:5000")


@pytest.fixture(scope="module")
def registry(
    tracking: TrackingConfig, tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> Registry:
    """Two versions, of which the second is champion."""
    settings = composed("model=folder", f"model.location={tiny_folder}", "quantization=none")
    base = find_base(settings.model, settings.quantization)
    registry = Registry(tracking, "m")
    for seed in (1, 2):
        folder = tmp_path_factory.mktemp(f"night{seed}")
        promote(registry, log_run(tracking, base, folder, seed))
    return registry


@contextmanager
def serving(folder: Path, tracking: TrackingConfig, *words: str) -> Iterator[Serving]:
    server = Serving(folder, tracking, *words).start()
    try:
        yield server
    finally:
        if server.process is not None and server.process.poll() is None:
            server.end(signal.SIGKILL)


def test_a_champion_that_moves_while_many_ask_fails_nobody(
    registry: Registry, tracking: TrackingConfig, tmp_path: Path
) -> None:
    with serving(tmp_path, tracking) as server:
        assert server.versions() == {"default": 2, "base": None, "champion": 2, "previous": 1}
        alone = {name: server.ask(name).json() for name in ("champion", "previous")}
        texts = {
            "2": alone["champion"]["choices"][0]["message"]["content"],
            "1": alone["previous"]["choices"][0]["message"]["content"],
        }
        assert texts["1"] != texts["2"]
        answers: list[httpx.Response] = []
        stop = threading.Event()

        def keep_asking() -> None:
            while not stop.is_set():
                answers.append(server.ask())

        clients = [threading.Thread(target=keep_asking) for _ in range(6)]
        for client in clients:
            client.start()
        until(lambda: len(answers) >= 6)
        registry.rollback(by="test", reason="worse")
        until(lambda: server.versions()["champion"] == 1)
        moved = len(answers)
        until(lambda: len(answers) >= moved + 12)
        stop.set()
        for client in clients:
            client.join()
        assert {answer.status_code for answer in answers} == {200}
        seen = {answer.headers["x-loraflow-adapter"] for answer in answers}
        assert seen == {"1", "2"}
        for answer in answers:  # whoever began on a version was answered by it to the end
            version = answer.headers["x-loraflow-adapter"]
            assert answer.json()["choices"][0]["message"]["content"] == texts[version]
        assert server.end() == 0
    registry.rollback(by="test", reason="back", to=2)


def test_while_the_registry_is_dead_it_serves_on_and_starts_anew_with_the_same(
    registry: Registry, tracking: TrackingConfig, mlflow: MlflowServer, tmp_path: Path
) -> None:
    with serving(tmp_path, tracking) as server:
        expected = server.ask().json()["choices"][0]["message"]["content"]
        mlflow.kill()
        health = f"{server.url}/health"
        until(lambda: not httpx.get(health).json()["registry"]["up"])
        assert server.ask().json()["choices"][0]["message"]["content"] == expected
        server.end(signal.SIGKILL)
    with serving(tmp_path, tracking) as again:
        assert "as they were when the registry last answered" in again.said
        assert again.ask().json()["choices"][0]["message"]["content"] == expected
        mlflow.start()
        until(lambda: httpx.get(f"{again.url}/health").json()["registry"]["up"])
        registry.rollback(by="test", reason="worse", to=1)
        until(lambda: again.versions()["champion"] == 1)
    registry.rollback(by="test", reason="back", to=2)


def test_the_log_is_whole_behind_a_kill_and_two_servers_share_a_folder(
    registry: Registry, tracking: TrackingConfig, tmp_path: Path
) -> None:
    with serving(tmp_path, tracking) as one, serving(tmp_path, tracking) as other:
        client = OpenAI(base_url=f"{one.url}/v1", api_key="none")
        stream = client.chat.completions.create(
            model="default",
            messages=[{"role": "user", "content": "你好"}],
            stream=True,
            max_tokens=8,
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
        ids = [server.ask(max_tokens=4).json()["id"] for server in (one, other) for _ in range(3)]
        rating = {"id": ids[0], "rating": "up", "text": "好"}
        assert httpx.post(f"{one.url}/v1/feedback", json=rating).status_code == 200
        log = tmp_path / "serving" / "log.db"
        until(lambda: len(_rows(log)) == 7)
        one.end(signal.SIGKILL)
        assert {row[0] for row in _rows(log)} > set(ids)
        assert text in {row[1] for row in _rows(log)}
        assert other.ask(max_tokens=4).status_code == 200


def _rows(log: Path) -> list[tuple[str, str]]:
    with sqlite3.connect(f"file:{log}?mode=ro", uri=True) as table:
        return table.execute("select id, answer from exchanges").fetchall()


def test_a_split_its_ratings_and_the_data_that_they_make(
    registry: Registry, tracking: TrackingConfig, tmp_path: Path
) -> None:
    words = ["serve.traffic.mode=split", "serve.traffic.candidate=previous"]
    with serving(tmp_path, tracking, *words) as server:
        for number in range(24):
            answer = server.ask("default", user=f"user-{number}", max_tokens=4)
            good = answer.headers["x-loraflow-adapter"] == "1"
            said = {
                "id": answer.json()["id"],
                "rating": "up" if good else "down",
                "better": f"第{number}个更好的回答",
            }
            assert httpx.post(f"{server.url}/v1/feedback", json=said).status_code == 200
        server.end()
    shown = _command(tmp_path, "flows.traffic", "ab", *words)
    assert "candidate" in shown
    _command(tmp_path, "flows.traffic", "feedback", *words)
    pairs = tmp_path / "serving" / "feedback" / "pairs.jsonl"
    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 1
    assert all("更好的回答" in json.dumps(row, ensure_ascii=False) for row in rows)


def _command(folder: Path, module: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["serve.host=0.0.0.0"], "serve.host=0.0.0.0 lets other machines in, and no password"),
        (["serve.adapters={mine: nowhere}"], "nowhere is no adapter: name champion"),
        (["serve.limits.queue=0"], "serve.limits.queue"),
        (["serve.prot=80"], "did you mean serve.port?"),
    ],
)
def test_what_the_user_can_mend_is_said_without_a_traceback(
    tmp_path: Path, words: list[str], said: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "flows.serve", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}", "LORAFLOW_API_KEY": ""},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr


def test_a_port_that_is_taken_is_named(
    registry: Registry, tracking: TrackingConfig, tmp_path: Path
) -> None:
    with serving(tmp_path, tracking) as server:
        second = Serving(tmp_path, tracking, f"serve.port={server.port}")
        with pytest.raises(AssertionError, match=f"serve.port={server.port} is taken"):
            second.start()
