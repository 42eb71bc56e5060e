"""What vLLM is told, as its documentation has it. No vLLM runs here: it wants a GPU."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from peft import LoraConfig

from loraflow.config import QuantizationConfig
from loraflow.errors import PassingError, UserError
from loraflow.model.source import BaseModel
from loraflow.serve.vllm.names import VllmNames
from loraflow.serve.vllm.settings import write_settings
from tests.conftest import composed
from tests.serve.http.served import serve_config
from tests.serve.made_adapters import adapter_in, make_adapter

pytestmark = pytest.mark.filterwarnings("ignore")


@dataclass
class Heard:
    """What a server was told, and what it has; restarting forgets all."""

    url: str
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    models: list[str] = field(default_factory=lambda: ["base"])
    status: int = 200


@pytest.fixture
def heard() -> Iterator[Heard]:
    """A server with the three addresses of vLLM's API that are used, as it documents them."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"data": [{"id": name} for name in found.models]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found.told.append((self.path, body))
            if found.status == 200:
                change = found.models.append if "unload" not in self.path else found.models.remove
                change(body["lora_name"])
            self._answer({"message": "no"})

        def _answer(self, body: dict[str, Any]) -> None:
            self.send_response(found.status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found = Heard(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield found
    server.shutdown()
    server.server_close()


def test_the_config_has_the_base_the_adapters_and_the_template_of_training(
    tiny_folder: Path, tmp_path: Path
) -> None:
    base = BaseModel("tiny", tiny_folder, "0", False, QuantizationConfig("nf4", True, "float32"))
    adapter = adapter_in(
        make_adapter(base, tmp_path / "a", 1, LoraConfig(r=96, target_modules=["q_proj"]))
    )
    template = composed("template=alpaca").template
    out = tmp_path / "vllm"
    command = write_settings(serve_config(), base, {"champion": adapter}, template, out=out)
    settings = json.loads((out / "config.json").read_text())
    assert command.endswith(f"vllm serve --config {out / 'config.json'}")
    assert settings["model"] == str(tiny_folder)
    assert settings["quantization"] == "bitsandbytes"
    assert settings["max-lora-rank"] == 128  # the next that vLLM has kernels for
    assert json.loads(settings["lora-modules"][0]) == {
        "name": "champion", "path": str(tmp_path / "a"),
    }  # fmt: skip
    assert Path(settings["chat-template"]).read_text(encoding="utf-8") == template.chat_template


def test_what_vllm_does_not_serve_is_refused(tiny_base: BaseModel, tmp_path: Path) -> None:
    dora = LoraConfig(r=2, target_modules=["q_proj"], use_dora=True)
    adapter = adapter_in(make_adapter(tiny_base, tmp_path / "a", 1, dora))
    with pytest.raises(UserError, match="more than a plain LoRA, which vLLM does not serve"):
        write_settings(serve_config(), tiny_base, {"a": adapter}, composed().template, out=tmp_path)


def test_a_name_is_moved_and_what_a_restart_has_forgotten_is_loaded_again(
    heard: Heard, tiny_base: BaseModel, tmp_path: Path
) -> None:
    adapter = adapter_in(make_adapter(tiny_base, tmp_path / "a", 1))
    names = VllmNames(heard.url, None)
    names.point("champion", adapter)
    path, body = heard.told[0]
    assert path == "/v1/load_lora_adapter"
    assert body == {
        "lora_name": "champion", "lora_path": str(tmp_path / "a"), "load_inplace": True,
    }  # fmt: skip
    names.tidy()
    assert len(heard.told) == 1
    heard.models = ["base"]
    names.tidy()
    assert len(heard.told) == 2 and heard.models == ["base", "champion"]
    names.drop("champion")
    assert heard.models == ["base"]


def test_a_server_that_is_away_or_refuses_is_told_apart(
    heard: Heard, tiny_base: BaseModel, tmp_path: Path
) -> None:
    adapter = adapter_in(make_adapter(tiny_base, tmp_path / "a", 1))
    heard.status = 404
    with pytest.raises(UserError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        VllmNames(heard.url, None).point("champion", adapter)
    heard.status = 400
    with pytest.raises(UserError, match="vLLM refuses champion"):
        VllmNames(heard.url, None).point("champion", adapter)
    away = VllmNames("http://127.0.0.1:9", None)
    with pytest.raises(PassingError, match="vLLM does not answer"):
        away.point("champion", adapter)
    away.drop("champion")
    away.tidy()
