"""OpenAI's own client talks to the server, with the real engine and the tiny model."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest

from loraflow.config import QuantizationConfig
from loraflow.model.source import BaseModel
from loraflow.serve.engine.engine import Engine
from loraflow.serve.http.desk import Serving
from loraflow.serve.names.names import Names
from loraflow.serve.traffic.log import TrafficLog
from tests.serve.http.served import HELLO, NATIVE, Running, running, serve_config, wait_until
from tests.serve.made_adapters import adapter_in, make_adapter

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def server(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("served")
    base = BaseModel("tiny", tiny_folder, "0", False, QuantizationConfig("none", False, "float32"))
    engine = Engine(base, answers_at_once=4, queue=8)
    names = Names(engine, NATIVE)
    names.point("mine", adapter_in(make_adapter(base, folder / "mine", 1)))
    names.point("other", adapter_in(make_adapter(base, folder / "other", 2)))
    log = TrafficLog(folder / "log.db")
    with running(Serving(serve_config(), engine, names, None, log, "secret")) as found:
        yield found
    log.close()
    engine.close()


@pytest.fixture(scope="module")
def client(server: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.url}/v1", api_key="secret", max_retries=0)


def ask(client: openai.OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(
        **{"model": "mine", "messages": HELLO, "max_tokens": 8, **fields}
    )


def test_the_models_are_listed_with_what_each_is(client: openai.OpenAI, server: Running) -> None:
    models = {model.id: model for model in client.models.list()}
    assert set(models) == {"default", "base", "mine", "other"}
    described: Any = models["mine"].model_extra
    digest = next(one.adapter.digest for one in server.desk.names.listed() if one.name == "mine")
    assert described["loraflow"] == {"version": None, "run_id": None, "adapter": digest}
    assert client.models.retrieve("mine").id == "mine"


def test_a_stream_and_a_whole_answer_say_the_same(client: openai.OpenAI) -> None:
    whole = ask(client)
    assert whole.choices[0].message.role == "assistant"
    assert whole.choices[0].finish_reason in ("stop", "length")
    assert whole.usage.completion_tokens <= 8
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(texts) == whole.choices[0].message.content
    assert chunks[-1].usage == whole.usage
    assert chunks[-2].choices[0].finish_reason == whole.choices[0].finish_reason
    assert len({chunk.id for chunk in chunks}) == 1


def test_a_stream_has_no_usage_unless_it_is_asked_for(client: openai.OpenAI) -> None:
    assert all(chunk.choices and chunk.usage is None for chunk in ask(client, stream=True))


def test_each_name_answers_with_its_own_adapter(client: openai.OpenAI, server: Running) -> None:
    answers = {
        name: client.chat.completions.with_raw_response.create(
            model=name, messages=[{"role": "user", "content": "你是谁？"}], max_tokens=16
        )
        for name in ("base", "mine", "other", "default")
    }
    texts = {name: reply.parse().choices[0].message.content for name, reply in answers.items()}
    assert len({texts["base"], texts["mine"], texts["other"]}) == 3
    assert texts["default"] == texts["mine"]  # there is no champion: the first of the others
    digests = {one.name: one.adapter.digest for one in server.desk.names.listed()}
    for name, reply in answers.items():
        assert reply.headers["x-loraflow-adapter"] == digests[name]


def test_sampling_obeys_its_seed_and_a_stop_text_its_place(client: openai.OpenAI) -> None:
    drawn = [ask(client, temperature=1.5, seed=5, max_tokens=16) for _ in range(2)]
    assert drawn[0].choices[0].message.content == drawn[1].choices[0].message.content
    text = ask(client, max_tokens=24).choices[0].message.content
    cut = ask(client, max_tokens=24, stop=[text[4:6]])
    assert cut.choices[0].finish_reason == "stop"
    assert cut.choices[0].message.content == text[: text.index(text[4:6])].rstrip()


def test_the_smallest_numbers_harm_nobody(client: openai.OpenAI) -> None:
    for fields in ({"temperature": 1e-300}, {"temperature": 2, "top_p": 1e-320}, {"seed": -1}):
        assert ask(client, **fields).choices[0].finish_reason in ("stop", "length")


def test_text_parts_are_read_as_one_text(client: openai.OpenAI) -> None:
    parts = [{"type": "text", "text": "你是"}, {"type": "text", "text": "谁？"}]
    joined = ask(client, messages=[{"role": "user", "content": "你是\n谁？"}])
    apart = ask(client, messages=[{"role": "user", "content": parts}])
    assert apart.choices[0].message.content == joined.choices[0].message.content


def test_errors_become_the_exceptions_of_the_client(client: openai.OpenAI, server: Running) -> None:
    with pytest.raises(openai.NotFoundError) as unknown:
        ask(client, model="gpt-5")
    assert (unknown.value.code, unknown.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError, match="temperature") as wrong:
        ask(client, temperature=9)
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as long:
        ask(client, messages=[{"role": "user", "content": "a " * 3000}])
    assert long.value.code == "context_length_exceeded"
    stranger = openai.OpenAI(base_url=f"{server.url}/v1", api_key="wrong", max_retries=0)
    with pytest.raises(openai.AuthenticationError):
        ask(stranger)


def test_feedback_counts_for_answers_of_this_server(client: openai.OpenAI, server: Running) -> None:
    answer = ask(client)
    said = {"id": answer.id, "rating": "down", "better": "我是甄嬛"}
    assert server.client.post("/v1/feedback", json=said).json()["id"] == answer.id
    unknown = server.client.post("/v1/feedback", json={"id": "chatcmpl-0", "rating": "up"})
    assert unknown.status_code == 404
    assert unknown.json()["error"]["code"] == "exchange_not_found"
    empty = server.client.post("/v1/feedback", json={"id": answer.id})
    assert empty.status_code == 400
    wait_until(lambda: server.desk.admission.open == 0)


def test_a_client_library_may_name_the_user_and_pass_what_asks_nothing(
    client: openai.OpenAI,
) -> None:
    answer = ask(
        client, user="甄嬛", n=1, response_format={"type": "text"}, logprobs=False,
        frequency_penalty=0, metadata={"a": "b"}, store=False, extra_body={"unheard_of": [1]},
    )  # fmt: skip
    assert answer.choices[0].finish_reason in ("stop", "length")
