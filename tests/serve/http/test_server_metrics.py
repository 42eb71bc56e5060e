"""What Prometheus reads."""

import time
from dataclasses import replace
from typing import Any, cast

from prometheus_client.parser import text_string_to_metric_families

from loraflow.model.source import BaseModel
from loraflow.serve.adapters.adapter import BASE
from loraflow.serve.http.desk import Serving
from loraflow.serve.names.follow import Follower, RegistryState
from loraflow.serve.names.names import Names
from tests.serve.http.held_engine import HeldEngine
from tests.serve.http.served import NATIVE, running, serve_config


class Followed:
    def __init__(self) -> None:
        self.state = RegistryState(True, time.time() - 5)


def test_requests_tokens_times_and_the_registry_are_there(tiny_base: BaseModel) -> None:
    engine = HeldEngine(tiny_base)
    engine.at_once = "好"
    names = Names(engine.as_engine(), NATIVE)
    names.point("mine", replace(BASE, digest="a" * 64, folder=tiny_base.folder))
    followed = Followed()
    follower = cast(Follower, cast(Any, followed))
    serving = Serving(serve_config(), engine.as_engine(), names, follower, None, None)
    with running(serving) as server:
        assert server.chat(model="mine").status_code == 200
        assert server.chat(model="nobody").status_code == 404
        assert server.chat(model="mine", n=2).status_code == 400
        assert list(text_string_to_metric_families(server.client.get("/metrics").text))
        assert server.metric('loraflow_requests_total{name="mine",status="200"}') == 1
        assert server.metric('loraflow_requests_total{name="",status="404"}') == 1
        assert server.metric('loraflow_requests_total{name="",status="400"}') == 1
        assert server.metric('loraflow_answers_total{finish="stop",name="mine"}') == 1
        assert server.metric('loraflow_tokens_total{kind="written",name="mine"}') == 1
        assert server.metric('loraflow_tokens_total{kind="read",name="mine"}') > 5
        assert server.metric('loraflow_first_token_seconds_count{name="mine"}') == 1
        assert server.metric("loraflow_answering") == 0
        assert server.metric("loraflow_adapters") == 1
        assert server.metric("loraflow_registry_up") == 1
        assert 4 < server.metric("loraflow_registry_age_seconds") < 60
        followed.state = RegistryState(False, 0.0, "sqlite:////secret/path is away")
        assert server.metric("loraflow_registry_up 0") == 0
        health = server.client.get("/health")
        assert health.json()["registry"] == {"up": False, "seen": 0.0}
        assert "secret" not in health.text + server.client.get("/metrics").text
        engine.is_open = False
        assert server.client.get("/health").status_code == 503
        assert server.client.get("/health").json()["status"] == "failed"
