"""What is wrong with a request is told, by field, with a 4xx; hypothesis looks for what is not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loraflow.config import QuantizationConfig
from loraflow.model.source import BaseModel
from loraflow.serve.engine.engine import Engine
from loraflow.serve.http.desk import Serving
from loraflow.serve.names.names import Names
from loraflow.serve.traffic.log import TrafficLog
from tests.serve.http.served import HELLO, NATIVE, Running, running, serve_config

pytestmark = pytest.mark.filterwarnings("ignore")

CHAT = "/v1/chat/completions"
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
USER = {"role": "user", "content": "a"}


@pytest.fixture(scope="module")
def server(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    base = BaseModel("tiny", tiny_folder, "0", False, QuantizationConfig("none", False, "float32"))
    engine = Engine(base, answers_at_once=4, queue=8)
    log = TrafficLog(tmp_path_factory.mktemp("fuzzed") / "log.db")
    config = serve_config("serve.answers.max_tokens=2", "serve.limits.max_tokens=64")
    with running(Serving(config, engine, Names(engine, NATIVE), None, log, None)) as found:
        yield found
    log.close()
    engine.close()


def refused(reply: httpx.Response, status: int = 400) -> dict[str, Any]:
    """Return the error of a reply, which must be in OpenAI's shape and name no file."""
    assert reply.status_code == status, reply.text
    error: dict[str, Any] = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["message"] and error["type"] == "invalid_request_error"
    assert not any(word in reply.text for word in ("/src/", "/tmp/", "/home/", "Traceback", ".py"))
    return error


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 5}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": "hello"}, "messages"),
        ({"messages": [USER, "hello"]}, "messages[1]"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "messages[0].role"),
        ({"messages": [{"role": "tool", "content": "a", "tool_call_id": "1"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["a"]}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "content": "", "tool_calls": [{}]}]}, "messages[0]"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"max_tokens": "5"}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_completion_tokens": 10**30}, "max_completion_tokens"),
        ({"temperature": -0.1}, "temperature"),
        ({"temperature": 2.1}, "temperature"),
        ({"temperature": "0"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"seed": 2**63}, "seed"),
        ({"seed": "a"}, "seed"),
        ({"stop": ""}, "stop[0]"),
        ({"stop": ["a"] * 5}, "stop"),
        ({"stop": [5]}, "stop[0]"),
        ({"stop": "a" * 300}, "stop[0]"),
        ({"stream": "yes"}, "stream"),
        ({"stream_options": {"include_usage": True}}, None),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"user": {"id": 1}}, "user"),
        ({"n": 2}, "n"),
        ({"n": True}, "n"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"logprobs": True}, "logprobs"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logit_bias": {"5": 100}}, "logit_bias"),
        ({"presence_penalty": 0.5}, "presence_penalty"),
        ({"top_k": 5}, "top_k"),
        ({"guided_json": {"type": "object"}}, "guided_json"),
        ({"ignore_eos": True}, "ignore_eos"),
        ({"stop_token_ids": [5]}, "stop_token_ids"),
        ({"chat_template_kwargs": {"enable_thinking": True}}, "chat_template_kwargs"),
    ],
)
def test_a_wrong_field_is_named(server: Running, fields: Any, param: str | None) -> None:
    assert refused(server.chat(**fields))["param"] == param


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"hello",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b'{"model": "base", "messages": [{"role": "user", "content": "\xed\xa0\x80"}]}',
        b'{"model": "base", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": "base", "temperature": NaN, "messages": []}',
        b'{"model": "base", "temperature": Infinity, "messages": []}',
        b'{"model": "base", "temperature": 1e999, "messages": []}',
        b'{"model": "base", "max_tokens": %s, "messages": []}' % (b"9" * 5000),
        b'{"model": ' + b"[" * 100_000,
        b'{"model": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b"\x1f\x8b\x08\x00",
    ],
)
def test_what_is_no_json_object_is_refused(server: Running, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    assert refused(server.client.post(CHAT, content=body, headers=headers))["code"]
    refused(server.client.post("/v1/feedback", content=body, headers=headers))


@pytest.mark.parametrize("depth", [100, 1000])
def test_deep_values_where_nobody_looks_harm_nothing(server: Running, depth: int) -> None:
    deep = b"[" * depth + b"]" * depth
    for field in (b"metadata", b"messages", b"stop", b"tools", b"response_format"):
        body = b'{"model": "base", "messages": [{"role": "user", "content": "a"}], "%b": %b}'
        headers = {"content-type": "application/json"}
        reply = server.client.post(CHAT, content=body % (field, deep), headers=headers)
        assert reply.status_code == (200 if field == b"metadata" else 400), reply.text


def test_unknown_names_are_told_the_known_ones(server: Running) -> None:
    for name in ("", "gpt-5", "../../etc/passwd", "甄嬛" * 1000, "base\n", "{}"):
        error = refused(server.chat(model=name), 404)
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert "default, base" in error["message"] and len(error["message"]) < 400


def test_roles_that_a_template_does_not_show_are_the_clients_to_change(
    server: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = server.desk.names._templates
    server.chat()
    refusing = "{{ raise_exception('roles must alternate') }}"
    monkeypatch.setattr(template["base"], "_chat_template", refusing)
    error = refused(server.chat())
    assert "roles must alternate" in error["message"] and error["param"] == "messages"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
text_part = st.fixed_dictionaries({"type": st.just("text"), "text": st.text(max_size=30)})
good_message = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["system", "developer", "user", "assistant"]),
        "content": st.text(max_size=50) | st.lists(text_part, max_size=3),
    }
)
spoilt_message = st.fixed_dictionaries(
    {"role": st.just("user") | anything, "content": st.lists(text_part | anything) | anything},
    optional={"name": anything, "tool_calls": anything},
)
numbers = st.sampled_from([0, 1, -1, 2, 0.5, 1e-320, 1e308, 2**63, -(2**70), 5e-324])
GOOD = {
    "temperature": st.floats(0, 2),
    "top_p": st.floats(0, 1, exclude_min=True),
    "seed": st.integers(-(2**63), 2**63 - 1),
    "max_tokens": st.integers(1, 4),
    "stop": st.lists(st.text(min_size=1, max_size=5), max_size=4),
    "stream": st.booleans(),
    "user": st.text(max_size=20),
}
NUMBERS = ["temperature", "top_p", "seed", "max_tokens", "max_completion_tokens", "n", "top_k"]
OTHERS = ["model", "stream", "stream_options", "user", "safety_identifier", "tools", "tool_choice"]
OTHERS += ["stop", "logprobs", "response_format", "logit_bias", "unheard_of"]
spoilt = st.one_of(
    st.just({}),
    *(st.fixed_dictionaries({field: numbers | anything}) for field in NUMBERS),
    *(st.fixed_dictionaries({field: anything}) for field in OTHERS),
    st.fixed_dictionaries({"messages": st.lists(good_message | spoilt_message) | anything}),
)
good = st.fixed_dictionaries(
    {
        "model": st.sampled_from(["base", "default"]),
        "messages": st.lists(good_message, min_size=1, max_size=4),
    },
    optional=GOOD,
)
request = st.builds(lambda whole, change: {**whole, **change}, good, spoilt)
ALLOWED = {200, 400, 404}


@given(value=request)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_value_of_any_field_is_answered_or_refused(server: Running, value: Any) -> None:
    content = json.dumps(value).encode()  # NaN, infinities and half surrogates are written as such
    reply = server.client.post(CHAT, content=content, headers={"content-type": "application/json"})
    assert reply.status_code in ALLOWED, (value, reply.text)
    if reply.status_code != 200:
        refused(reply, reply.status_code)
    elif value.get("stream"):
        assert reply.text.endswith("data: [DONE]\n\n"), reply.text


@given(
    content=st.binary(max_size=200), kind=st.sampled_from(["application/json", "", "text/plain"])
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_bytes_are_refused(server: Running, content: bytes, kind: str) -> None:
    for path in (CHAT, "/v1/feedback"):
        reply = server.client.post(path, content=content, headers={"content-type": kind})
        refused(reply, 400 if kind == "application/json" else 415)


@given(name=st.text(max_size=40))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_name_is_unknown_or_known(server: Running, name: str) -> None:
    clean = name.encode("utf-8", "replace").decode()
    path = httpx.URL(server.url).copy_with(raw_path=b"/v1/models/" + _quoted(clean))
    assert server.client.get(path).status_code in (200, 404)


@given(
    value=anything | st.fixed_dictionaries({"id": anything, "rating": anything, "text": anything})
)
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_feedback_is_taken_or_refused(server: Running, value: Any) -> None:
    content = json.dumps(value).encode()
    headers = {"content-type": "application/json"}
    reply = server.client.post("/v1/feedback", content=content, headers=headers)
    refused(reply, reply.status_code)
    assert reply.status_code in (400, 404)


def test_the_server_is_well_after_all_that(server: Running) -> None:
    assert server.client.get("/health").json()["status"] == "ok"
    assert server.chat(model="base").status_code == 200
    assert server.desk.admission.open <= 1
    assert server.chat(messages=HELLO, stream=True).text.endswith("data: [DONE]\n\n")


def _quoted(name: str) -> bytes:
    return b"".join(b"%%%02X" % byte for byte in name.encode())
