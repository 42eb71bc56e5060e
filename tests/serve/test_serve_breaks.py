"""`make serve` under what breaks servers: ends in the middle, bad versions, a frozen registry."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from mlflow import MlflowClient

from loraflow.config import TrackingConfig
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from tests.serve.serve_process import LONG, PATIENCE, ROOT, Serving, run_command, serving, until
from tests.serve.trained_runs import log_run, promote
from tests.tracking.mlflow_server import MlflowServer

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@pytest.fixture
def registry(live_registry: Registry) -> Iterator[Registry]:
    """The second version is champion, whatever the test before has done."""
    yield live_registry
    champion = live_registry.champion()
    if champion is None or champion.number != 2:
        live_registry.rollback(by="test", reason="back", to=2)


@contextmanager
def streaming(server: Serving, **fields: Any) -> Iterator[tuple[httpx.Response, Iterator[str]]]:
    """Open a stream, and yield it with the lines that are to come after the first."""
    body = {"model": "champion", **LONG, "stream": True, **fields}
    url = f"{server.url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body, timeout=PATIENCE) as reply:
        lines = (line.removeprefix("data: ") for line in reply.iter_lines() if line)
        next(lines)
        yield reply, lines


def text_of(lines: Iterator[str]) -> str:
    """Read a stream to its end, which has to be a whole one."""
    *chunks, last = lines
    assert last == "[DONE]"
    deltas = [json.loads(chunk)["choices"][0]["delta"] for chunk in chunks]
    return "".join(delta.get("content", "") for delta in deltas)


def whole(reply: httpx.Response) -> str:
    assert reply.status_code == 200
    text: str = reply.json()["choices"][0]["message"]["content"]
    return text


def test_streams_go_on_with_their_adapter_over_a_swap_and_to_their_end_at_sigterm(
    registry: Registry, live_tracking: TrackingConfig, tmp_path: Path
) -> None:
    with serving(tmp_path, live_tracking) as server:
        long = 900  # tokens: still being written when the name has moved
        old = whole(server.ask(max_tokens=long))
        with streaming(server, max_tokens=long) as (reply, lines):
            registry.rollback(by="test", reason="worse", to=1)
            assert reply.headers["x-loraflow-adapter"] == "2"
            until(lambda: server.versions() == {"default": 1, "base": None, "champion": 1})
            assert text_of(lines) == old
        new = whole(server.ask(max_tokens=long))
        assert new != old
        with streaming(server, max_tokens=long) as (reply, lines):
            assert server.process is not None
            server.process.send_signal(signal.SIGTERM)
            until(lambda: httpx.get(f"{server.url}/health").status_code == 503)
            assert server.ask().status_code == 503
            assert text_of(lines) == new
        assert server.process.wait(PATIENCE) == 0
        assert "Traceback" not in server.said


def test_versions_that_cannot_be_served_leave_the_champion_that_can(
    registry: Registry, live_tracking: TrackingConfig, tiny_base: BaseModel, tmp_path: Path
) -> None:
    with serving(tmp_path, live_tracking) as server:
        before = whole(server.ask())
        client = MlflowClient(live_tracking.uri)
        client.set_registered_model_alias("m", "challenger", "1")
        until(lambda: server.versions().get("challenger") == 1)
        other = replace(tiny_base, revision="another")
        promote(registry, log_run(live_tracking, other, tmp_path / "other", 7))
        until(lambda: "champion stays as it was: version 3 cannot be served" in server.said)
        assert server.versions()["champion"] == 2
        assert whole(server.ask()) == before
        time.sleep(1)  # several looks at the registry
        assert len(re.findall("champion stays as it was", server.said)) == 1
        assert "Traceback" not in server.said
        client.set_registered_model_alias("m", "challenger", "1")
        until(lambda: server.versions().get("challenger") == 1)
        client.delete_registered_model_alias("m", "challenger")
        until(lambda: "challenger" not in server.versions())


def test_with_a_registry_that_is_not_there_yet_it_serves_the_base_then_the_champion(
    live_registry: Registry,
    live_tracking: TrackingConfig,
    live_mlflow: MlflowServer,
    tiny_folder: Path,
    tmp_path: Path,
) -> None:
    live_mlflow.kill()
    words = ["model=folder", f"model.location={tiny_folder}", "quantization=none"]
    with serving(tmp_path, live_tracking, *words) as server:
        assert server.versions() == {"default": None, "base": None}
        assert server.ask("default").headers["x-loraflow-adapter"] == "base"
        assert server.ask().status_code == 404
        live_mlflow.start()
        until(lambda: server.versions().get("champion") == 2)
        assert server.ask("default").headers["x-loraflow-adapter"] == "2"


def test_a_frozen_registry_delays_neither_answers_nor_the_end(
    live_registry: Registry,
    live_tracking: TrackingConfig,
    live_mlflow: MlflowServer,
    tmp_path: Path,
) -> None:
    with serving(tmp_path, live_tracking) as server:
        live_mlflow.freeze()
        time.sleep(1)  # until a look hangs
        assert server.ask(max_tokens=4).status_code == 200
        begun = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - begun < 15
    live_mlflow.kill()
    live_mlflow.start()


def shadows(server: Serving) -> dict[str, float]:
    page = httpx.get(f"{server.url}/metrics").text
    counted = re.findall(r'loraflow_shadows_total{outcome="(\w+)"} (\S+)', page)
    return {outcome: float(count) for outcome, count in counted}


def test_a_shadow_is_logged_unseen_and_what_users_would_rather_have_had_is_data(
    live_registry: Registry, live_tracking: TrackingConfig, tiny_folder: Path, tmp_path: Path
) -> None:
    words = ["serve.traffic.mode=shadow", "serve.traffic.candidate=previous"]
    with serving(tmp_path, live_tracking, *words) as server:
        for number in range(24):
            text = f"第{number}个问题：家父是谁，为什么，什么时候？"
            question = [{"role": "user", "content": text}]
            answer = server.ask("default", user=f"user-{number}", max_tokens=4, messages=question)
            assert answer.headers["x-loraflow-adapter"] == "2"
            said = {"id": answer.json()["id"], "better": f"这是第{number}个更好的回答，因为它更长"}
            assert httpx.post(f"{server.url}/v1/feedback", json=said).status_code == 200
        until(lambda: sum(shadows(server).values()) == 24)  # those that gave way included
        assert shadows(server)["answered"] > 0 and shadows(server).get("failed", 0) == 0
        server.end()
    run_command(tmp_path, "flows.traffic", "feedback", *words)
    pairs = tmp_path / "serving" / "feedback" / "pairs.jsonl"
    rows = len(pairs.read_text(encoding="utf-8").splitlines())
    assert rows == 24
    read = [
        *["data=file", f"data.path={pairs}", "train=preference", "data.min_train_rows=8"],
        *["data.split.held_out_rows=4", "model=folder", f"model.location={tiny_folder}"],
        *[f"store={tmp_path / 'store'}", f"tracking.uri={live_tracking.uri}"],
    ]
    shown = run_command(tmp_path, "flows.data", *read)
    assert "24 rows read" in shown


def test_any_free_port_is_told(
    live_registry: Registry, live_tracking: TrackingConfig, tmp_path: Path
) -> None:
    server = Serving(tmp_path, live_tracking, "serve.port=0")
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"}
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.serve", *server.words],
        cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    try:
        url = next(line for line in process.stderr if line.startswith("http")).split()[0]
        assert not url.endswith(":0/v1")
        until(lambda: _lists_models(url))
    finally:
        process.terminate()
        process.communicate()


def _lists_models(url: str) -> bool:
    try:
        return httpx.get(f"{url}/models").status_code == 200
    except httpx.HTTPError:
        return False
