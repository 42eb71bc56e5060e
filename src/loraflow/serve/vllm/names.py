"""Names on a vLLM server, moved through its API.

vLLM replaces an adapter in place: no request fails, but an answer that is being written goes on
with the new adapter. The embedded server ends it with the old one.
"""

import logging
from http import HTTPStatus
from typing import Any

import httpx

from loraflow.errors import PassingError, UserError
from loraflow.model.trained import adapter_of
from loraflow.serve.adapters.adapter import Adapter

log = logging.getLogger(__name__)

_SECONDS = 60  # to read an adapter from the disk


class VllmNames:
    """What the follower of the registry moves."""

    def __init__(self, url: str, key: str | None) -> None:
        """Talk to the server at `url`, such as http://127.0.0.1:8000."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=_SECONDS)
        self._adapters: dict[str, Adapter] = {}

    def point(self, name: str, adapter: Adapter) -> None:
        """Have `name` mean `adapter`.

        Raises:
            PassingError: if vLLM is away.
            UserError: if it refuses the adapter.
        """
        folder = None if adapter.folder is None else adapter_of(adapter.folder)
        path = None if folder is None else str(folder.absolute())
        self._post(
            "/v1/load_lora_adapter",
            {"lora_name": name, "lora_path": path, "load_inplace": True},
        )
        self._adapters[name] = adapter

    def drop(self, name: str) -> None:
        """Have `name` mean nothing any more."""
        self._adapters.pop(name, None)
        try:
            self._post("/v1/unload_lora_adapter", {"lora_name": name})
        except PassingError as error:
            log.warning("%s; it begins without %s", error, name)

    def tidy(self) -> None:
        """Load again what vLLM has forgotten, as it does when it is started anew."""
        try:
            listed = self._client.get("/v1/models").raise_for_status().json()
            there = {model["id"] for model in listed["data"]}
            for name, adapter in self._adapters.items():
                if name not in there:
                    self.point(name, adapter)
        except (httpx.HTTPError, UserError) as error:
            log.warning("vLLM does not answer: %s; it is asked again", error)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        try:
            answer = self._client.post(path, json=body)
        except httpx.HTTPError as error:
            raise PassingError(f"vLLM does not answer: {error}; start it") from error
        if answer.status_code == HTTPStatus.NOT_FOUND and path.startswith("/v1/load"):
            raise UserError(
                "vLLM was started without VLLM_ALLOW_RUNTIME_LORA_UPDATING=True; start it by the "
                "command that make vllm shows"
            )
        if answer.is_error:
            raise UserError(f"vLLM refuses {body['lora_name']}: {answer.text[:200]}")
