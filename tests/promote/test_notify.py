"""Hooks are told, cannot hurt the night, and leave no secret anywhere."""

import json
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from loraflow.config.nightly import HookConfig
from loraflow.promote.notify import notify
from tests.promote.night_records import week

PROMOTED, FAILED = week()[0], week()[4]
PLANTED = "T0P-SECRET-hook-9f8e7d6c"
PAGE = Path("/nights/loraflow/history.html")


@dataclass
class Receiver:
    """A web server on loopback that keeps what it is sent, and answers as it is told to."""

    status: int = 200
    answer: bytes = b"ok"
    location: str = ""
    posts: list[tuple[str, Any]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/services/{PLANTED}/x?key={PLANTED}"


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.posts.append((self.path, json.loads(body)))
            self.send_response(found.status, f"refused {self.path}")
            if found.location:
                self.send_header("Location", found.location)
            self.end_headers()
            self.wfile.write(found.answer + self.path.encode() * (found.status != 200))

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Keep the test's output clean."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("TEAM_HOOK", found.address)
        yield found
        server.shutdown()


def webhook(form: str = "json") -> Mapping[str, HookConfig]:
    given: Any = {"on": ["promoted", "failed"], "webhook": "TEAM_HOOK", "format": form}
    return {"team": HookConfig(**given, command=None, timeout_seconds=20)}


def command(*words: str, seconds: float = 20) -> Mapping[str, HookConfig]:
    given: Any = {"on": ["promoted", "failed"], "command": list(words), "webhook": None}
    return {"mail": HookConfig(**given, format="json", timeout_seconds=seconds)}


def python(code: str, *words: str, seconds: float = 20) -> Mapping[str, HookConfig]:
    return command(sys.executable, "-c", code, *words, seconds=seconds)


def warnings(caplog: pytest.LogCaptureFixture) -> str:
    """All that was logged by anything, at every level; the secret is not in it."""
    text = caplog.text + "".join(str(vars(record)) for record in caplog.records)
    assert PLANTED not in text
    return caplog.text


def test_webhook_gets_the_record_as_json(receiver: Receiver) -> None:
    notify(webhook(), FAILED, PAGE)
    ((path, body),) = receiver.posts
    assert path in receiver.address
    assert body["outcome"] == "failed"
    assert body["record"]["reason"] == FAILED.reason
    assert body["page"] == str(PAGE)
    assert FAILED.reason in body["text"]


@pytest.mark.parametrize(
    ("form", "place"),
    [
        ("slack", ("text",)),
        ("feishu", ("content", "text")),
        ("dingtalk", ("text", "content")),
        ("wecom", ("text", "content")),
    ],
)
def test_each_service_gets_its_form(receiver: Receiver, form: str, place: tuple[str, ...]) -> None:
    notify(webhook(form), replace(PROMOTED, reason="版本 1 更好 <b>"), PAGE)
    found = receiver.posts[0][1]
    kind = {"feishu": "msg_type", "dingtalk": "msgtype", "wecom": "msgtype"}.get(form)
    assert kind is None or found[kind] == "text"
    for name in place:
        found = found[name]
    told = "版本 1 更好 &lt;b&gt;" if form == "slack" else "版本 1 更好 <b>"
    assert found.splitlines()[:2] == [f"loraflow: promoted ({PROMOTED.id})", told]


def test_hooks_of_other_outcomes_stay_silent(receiver: Receiver) -> None:
    notify(webhook(), replace(PROMOTED, outcome="kept"), None)
    assert receiver.posts == []


@pytest.mark.parametrize("status", [302, 307, 400, 403, 404, 500])
def test_an_http_error_is_a_warning_without_the_address(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    """The server repeats the path in its status line, its body and where it redirects to."""
    receiver.status = status
    receiver.location = receiver.address if status < 400 else ""
    with caplog.at_level(logging.DEBUG):
        notify(webhook(), FAILED, PAGE)
    assert f"night.hooks.team failed: the webhook answers with HTTP status {status}" in warnings(
        caplog
    )
    assert len(receiver.posts) == 1  # a redirect is not followed


@pytest.mark.parametrize(
    "answer", [b'{"errcode": 310000, "errmsg": "x"}', b'{"code": 9499, "msg": "Bad Request"}']
)
def test_a_refusal_with_status_200_is_a_warning(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    receiver.answer = answer
    notify(webhook("feishu"), FAILED, PAGE)
    assert "refuses the message with code" in warnings(caplog)


@pytest.mark.parametrize(
    "answer", [b"ok", b"", b'{"errcode": 0}', b'{"code": 0, "msg": "success"}', b"[" * 5000, b"7"]
)
def test_a_welcome_is_none(
    receiver: Receiver, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    receiver.answer = answer
    notify(webhook("feishu"), FAILED, PAGE)
    assert warnings(caplog) == ""


@pytest.mark.parametrize(
    "address",
    [
        "",
        f"file:///etc/{PLANTED}",
        f"hooks.example/{PLANTED}",
        f"http://127.0.0.1:1/{PLANTED}",
        f"http://[{PLANTED}/",
        f"http://127.0.0.1:port/{PLANTED}",
        f"http://127.0.0.1/{PLANTED} with a space",
        f"http://{PLANTED}\u3002.invalid/",
        f"http://user:{PLANTED}@127.0.0.1:1/",
    ],
)
def test_a_wrong_address_is_a_warning_without_it(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, address: str
) -> None:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("TEAM_HOOK", address)
    with caplog.at_level(logging.DEBUG):
        notify(webhook(), FAILED, PAGE)
    assert "night.hooks.team failed" in warnings(caplog)


def test_command_gets_the_record_and_variables(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys\n"
        "out = pathlib.Path(sys.argv[1])\n"
        "out.write_bytes(sys.stdin.buffer.read())\n"
        "names = sorted(name for name in os.environ if name.startswith('LORAFLOW_'))\n"
        "text = chr(10).join(name + '=' + os.environ[name] for name in names)\n"
        "out.with_suffix('.env').write_text(text, encoding='utf-8')"
    )
    notify(python(code, str(tmp_path / "night $(date) ; x")), PROMOTED, PAGE)
    record = json.loads((tmp_path / "night $(date) ; x").read_text(encoding="utf-8"))
    assert record["id"] == PROMOTED.id
    assert record["decision"]["promote"] is True
    found = dict(
        line.split("=", 1)
        for line in (tmp_path / "night $(date) ; x.env").read_text(encoding="utf-8").splitlines()
    )
    assert found["LORAFLOW_OUTCOME"] == "promoted"
    assert found["LORAFLOW_VERSION"] == found["LORAFLOW_CHAMPION"] == "1"
    assert found["LORAFLOW_PAGE"] == str(PAGE)


def test_a_failing_command_is_a_warning_without_its_output(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """It prints its environment and its words, which hold the secret."""
    monkeypatch.setenv("SMTP_LOGIN", PLANTED)
    code = "import os, sys; print(os.environ); sys.exit(os.environ['SMTP_LOGIN'] and 3)"
    with caplog.at_level(logging.DEBUG):
        notify(python(code, PLANTED), FAILED, PAGE)
    assert "night.hooks.mail failed: its command ended with exit code 3" in warnings(caplog)
    assert PLANTED not in "".join(capfd.readouterr())


def test_a_command_that_is_missing_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    notify(command(f"/no/such/program-{PLANTED}"), FAILED, PAGE)
    assert "cannot be started: No such file or directory" in warnings(caplog)


def test_a_command_that_reads_nothing_is_fine(caplog: pytest.LogCaptureFixture) -> None:
    notify(python("pass"), replace(FAILED, data={"rows": "x" * 1_000_000}), PAGE)
    assert warnings(caplog) == ""


def test_a_command_that_hangs_is_ended_with_its_children(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    beat = tmp_path / "beat"
    child = f"import time\nwhile True: open({str(beat)!r}, 'w').close(); time.sleep(0.05)"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    notify(python(code, seconds=2), FAILED, PAGE)
    assert "took more than 2 seconds" in warnings(caplog)
    beat.unlink(missing_ok=True)
    time.sleep(0.5)
    assert not beat.exists()


def test_one_hook_that_fails_does_not_stop_the_next(
    receiver: Receiver, caplog: pytest.LogCaptureFixture
) -> None:
    notify({**command("/no/such/program"), **webhook()}, FAILED, PAGE)
    assert "night.hooks.mail failed" in warnings(caplog)
    assert len(receiver.posts) == 1


def test_what_an_error_quotes_is_masked_before_it_is_sent(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "abcdef-123456")
    reason = "401 for abcdef-123456 \x00 \ud83d"
    url = f"http://user:{PLANTED}@127.0.0.1:5000/#/runs/1"
    notify(webhook(), replace(FAILED, reason=reason, url=url), PAGE)
    sent = json.dumps(receiver.posts[0][1])
    assert "abcdef-123456" not in sent
    assert PLANTED not in sent
    assert "http://***@127.0.0.1:5000/#/runs/1" in sent


def test_variables_hold_what_a_system_can_hold(tmp_path: Path) -> None:
    """No null byte, no half surrogate."""
    out = tmp_path / "reason"
    code = "import os, sys; open(sys.argv[1], 'w').write(ascii(os.environ['LORAFLOW_REASON']))"
    notify(python(code, str(out)), replace(FAILED, reason="a\x00b \ud83d 坏"), None)
    assert "[U+0000]" in out.read_text()
