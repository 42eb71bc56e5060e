"""Who is let in: host names, keys, paths; and what a bug tells."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from loraflow.model.source import BaseModel
from loraflow.serve.http.desk import Serving
from loraflow.serve.names.names import Names
from tests.serve.http.held_engine import HeldEngine
from tests.serve.http.served import NATIVE, Running, running, serve_config


@contextmanager
def served(base: BaseModel, key: str | None) -> Iterator[Running]:
    engine = HeldEngine(base)
    engine.at_once = "好"
    names = Names(engine.as_engine(), NATIVE)
    with running(Serving(serve_config(), engine.as_engine(), names, None, None, key)) as found:
        yield found


@pytest.fixture
def server(tiny_base: BaseModel) -> Iterator[Running]:
    with served(tiny_base, None) as found:
        yield found


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
def test_programs_of_this_machine_are_let_in(server: Running, host: str) -> None:
    assert server.client.get("/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example:8000", "127.0.0.1.evil.example", "192.168.1.2", "localhost.evil", "", "["],
)
def test_pages_that_point_their_name_here_are_not(server: Running, host: str) -> None:
    for path in ("/v1/models", "/health", "/metrics"):
        reply = server.client.get(path, headers={"host": host})
        assert reply.status_code == 403
        assert reply.json()["error"]["code"] == "host_not_allowed"


def test_pages_of_other_sites_can_send_and_read_nothing(server: Running) -> None:
    origin = {"origin": "https://evil.example"}
    simple = {"content-type": "text/plain", **origin}  # what a page may send without asking first
    reply = server.client.post("/v1/chat/completions", content=b"{}", headers=simple)
    assert reply.status_code == 415
    asking = {"access-control-request-method": "POST", **origin}
    assert server.client.options("/v1/chat/completions", headers=asking).status_code == 405
    allowed = server.client.get("/v1/models", headers=origin).headers
    assert not [name for name in allowed if name.startswith("access-control")]


def test_a_key_is_needed_for_all_but_health(tiny_base: BaseModel) -> None:
    with served(tiny_base, "密 key") as server:
        key = "Bearer 密 key".encode()
        server.client.headers = httpx.Headers()
        pages = ["/v1/models", "/v1/models/base", "/metrics", "/openapi.json", "/nothing"]
        for sent in (
            None,
            b"",
            b"Bearer",
            b"Bearer wrong",
            b"Basic " + key[7:],
            key + b"1",
            b"\xff",
        ):
            headers = [] if sent is None else [(b"authorization", sent)]
            for page in pages:
                reply = server.client.get(page, headers=headers)
                assert reply.status_code == 401, (sent, page)
                assert reply.headers["www-authenticate"] == "Bearer"
            assert server.client.get("/health", headers=headers).status_code == 200
        right = [(b"authorization", key), (b"host", b"models.example")]
        assert [server.client.get(page, headers=right).status_code for page in pages] == (
            [200, 200, 200, 200, 404]
        )


def test_other_paths_and_methods_are_told_in_the_same_shape(server: Running) -> None:
    for method, path, status in (
        ("GET", "/", 404), ("GET", "/docs", 404), ("GET", "/v1/chat/completions", 405),
        ("POST", "/v1/completions", 404), ("POST", "/v1/chat/completions/", 404),
        ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", 404), ("GET", "/v1/models/%ff%00", 404),
        ("DELETE", "/v1/models/base", 405), ("POST", "/health", 405),
    ):  # fmt: skip
        reply = server.client.request(method, path)
        assert reply.status_code == status, path
        assert set(reply.json()["error"]) == {"message", "type", "param", "code"}


def test_a_bug_tells_its_number_and_no_more(
    server: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def bug(*_: object) -> list[int]:
        raise RuntimeError("/secret/path")

    monkeypatch.setattr(server.desk.names, "prompt_ids", bug)
    reply = server.chat()
    assert reply.status_code == 500
    message = reply.json()["error"]["message"]
    assert "secret" not in reply.text and "Traceback" not in reply.text
    number = message.rpartition(" ")[2].strip(".")
    assert number in caplog.text and "/secret/path" in caplog.text
    assert server.desk.admission.open == 0


def test_health_tells_no_names_and_no_load(server: Running) -> None:
    assert server.client.get("/health").json() == {"status": "ok", "registry": None}
