"""`make serve` as it is started: a champion that moves, a registry that dies, a kill."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest
from openai import OpenAI

from loraflow.config import TrackingConfig
from loraflow.promote.registry.registry import Registry
from tests.serve.serve_process import PATIENCE, ROOT, Serving, run_command, serving, until
from tests.tracking.mlflow_server import MlflowServer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def test_a_champion_that_moves_while_many_ask_fails_nobody(
    live_registry: Registry, live_tracking: TrackingConfig, tmp_path: Path
) -> None:
    with serving(tmp_path, live_tracking) as server:
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
        live_registry.rollback(by="test", reason="worse")
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
    live_registry.rollback(by="test", reason="back", to=2)


def test_while_the_registry_is_dead_it_serves_on_and_starts_anew_with_the_same(
    live_registry: Registry,
    live_tracking: TrackingConfig,
    live_mlflow: MlflowServer,
    tmp_path: Path,
) -> None:
    with serving(tmp_path, live_tracking) as server:
        expected = server.ask().json()["choices"][0]["message"]["content"]
        live_mlflow.kill()
        health = f"{server.url}/health"
        until(lambda: not httpx.get(health).json()["registry"]["up"])
        assert server.ask().json()["choices"][0]["message"]["content"] == expected
        server.end(signal.SIGKILL)
    with serving(tmp_path, live_tracking) as again:
        assert "as they were when the registry last answered" in again.said
        assert again.ask().json()["choices"][0]["message"]["content"] == expected
        live_mlflow.start()
        until(lambda: httpx.get(f"{again.url}/health").json()["registry"]["up"])
        live_registry.rollback(by="test", reason="worse", to=1)
        until(lambda: again.versions()["champion"] == 1)
    live_registry.rollback(by="test", reason="back", to=2)


def test_the_log_is_whole_behind_a_kill_and_two_servers_share_a_folder(
    live_registry: Registry, live_tracking: TrackingConfig, tmp_path: Path
) -> None:
    with serving(tmp_path, live_tracking) as one, serving(tmp_path, live_tracking) as other:
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
    live_registry: Registry, live_tracking: TrackingConfig, tmp_path: Path
) -> None:
    words = ["serve.traffic.mode=split", "serve.traffic.candidate=previous"]
    with serving(tmp_path, live_tracking, *words) as server:
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
    shown = run_command(tmp_path, "flows.traffic", "ab", *words)
    assert "candidate" in shown
    run_command(tmp_path, "flows.traffic", "feedback", *words)
    pairs = tmp_path / "serving" / "feedback" / "pairs.jsonl"
    rows = [json.loads(line) for line in pairs.read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 1
    assert all("更好的回答" in json.dumps(row, ensure_ascii=False) for row in rows)


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


def test_without_a_champion_and_with_an_empty_key_the_base_answers_and_says_so(
    live_registry: Registry,
    live_tracking: TrackingConfig,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LORAFLOW_API_KEY", "")
    with serving(tmp_path, live_tracking, "serve.registered=none_yet") as server:
        assert "none_yet has no champion, so the base alone answers" in server.said
        assert server.ask("default", max_tokens=4).status_code == 200
        strange = httpx.get(f"{server.url}/v1/models", headers={"host": "rebound.example"})
        assert strange.status_code == 403


def test_a_port_that_is_taken_is_named(
    live_registry: Registry, live_tracking: TrackingConfig, tmp_path: Path
) -> None:
    with serving(tmp_path, live_tracking) as server:
        second = Serving(tmp_path, live_tracking, f"serve.port={server.port}")
        with pytest.raises(AssertionError, match=f"serve.port={server.port} is taken"):
            second.start()
