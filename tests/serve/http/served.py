"""Servers for tests: the real app behind a real uvicorn on a free port, in a thread."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
from fastapi import FastAPI
from hydra import compose, initialize_config_dir
from pydantic import TypeAdapter

from flows.command import CONF, to_settings
from loraflow.config import TemplateConfig
from loraflow.config.serve import ServeConfig
from loraflow.serve.http.app import make_app
from loraflow.serve.http.desk import Desk, Serving
from loraflow.serve.http.server import Server

NATIVE = TemplateConfig("native", None)
HELLO = [{"role": "user", "content": "你是谁？"}]
PATIENCE = 20  # seconds


def serve_config(*overrides: str) -> ServeConfig:
    """Return the server's section of conf/serve.yaml."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        settings = to_settings(compose("serve", overrides=list(overrides)))
    return TypeAdapter(ServeConfig).validate_python(settings["serve"])


@dataclass
class Running:
    """A server that answers."""

    url: str
    port: int
    server: Server
    app: FastAPI
    client: httpx.Client

    @property
    def desk(self) -> Desk:
        desk: Desk = self.app.state.desk
        return desk

    def chat(self, **fields: object) -> httpx.Response:
        return self.client.post(
            "/v1/chat/completions", json={"model": "base", "messages": HELLO, **fields}
        )

    def metric(self, line: str) -> float:
        """Return the value of a line of /metrics; 0 if there is none."""
        rows = self.client.get("/metrics").text.splitlines()
        return next((float(row.rpartition(" ")[2]) for row in rows if row.startswith(line)), 0.0)


@contextmanager
def running(serving: Serving, *, grace_seconds: float = 0.5) -> Iterator[Running]:
    app = make_app(serving)
    server = Server(app, "127.0.0.1", 0, grace_seconds=grace_seconds)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive())
    port = server.servers[0].sockets[0].getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    key = {} if serving.key is None else {b"authorization": f"Bearer {serving.key}".encode()}
    with httpx.Client(base_url=url, timeout=PATIENCE, headers=key, trust_env=False) as client:
        yield Running(url, port, server, app, client)
    server.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()


def wait_until(is_so: Callable[[], object], seconds: float = PATIENCE) -> None:
    ends = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < ends, "it did not come about"
        time.sleep(0.01)
