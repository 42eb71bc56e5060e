"""A server with the addresses of vLLM's API that are used, as its own source has them."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

LOAD = "/v1/load_lora_adapter"
NO_ROUTE = {"detail": "Not Found"}


@dataclass
class Heard:
    """What a server was told, and the path that it has each name from."""

    url: str
    told: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    roots: dict[str, str] = field(default_factory=lambda: {"base": "/models/tiny"})
    status: int = 200
    refuses: str = ""  # a name
    says: dict[str, Any] = field(default_factory=dict)  # instead of what it would say

    def restart(self, **config_file: str) -> None:
        """Have what its config file names, and nothing else."""
        self.roots = {"base": self.roots["base"], **config_file}


@contextmanager
def vllm() -> Iterator[Heard]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer({"data": [{"id": name, "root": at} for name, at in heard.roots.items()]})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            heard.told.append((self.path, body))
            if body["lora_name"] == heard.refuses:
                self._answer({"message": "no"}, 400)
                return
            if heard.status == 200 and self.path == LOAD:
                heard.roots[body["lora_name"]] = body["lora_path"]
            elif heard.status == 200:
                del heard.roots[body["lora_name"]]
            self._answer({"message": "done"})

        def _answer(self, body: dict[str, Any], status: int | None = None) -> None:
            self.send_response(status or heard.status)
            self.end_headers()
            self.wfile.write(json.dumps(heard.says or body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    heard = Heard(f"http://127.0.0.1:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield heard
    server.shutdown()
    server.server_close()
