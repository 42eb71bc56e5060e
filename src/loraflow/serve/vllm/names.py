"""Names on a vLLM server, moved through its API.

vLLM replaces an adapter in place: no request fails, but an answer that is being written goes on
with the new adapter. The embedded server ends it with the old one.
"""

from http import HTTPStatus
from typing import Any

import httpx

from loraflow.errors import PassingError, UserError
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.vllm.fit import Ground, require_servable

_SECONDS = 60  # to read an adapter from the disk


class VllmNames:
    """What the follower of the registry moves."""

    def __init__(self, url: str, key: str | None, ground: Ground) -> None:
        """Talk to the server at `url`, such as http://127.0.0.1:8000, which stands on `ground`."""
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client = httpx.Client(base_url=url, headers=headers, timeout=_SECONDS)
        self._ground = ground
        self._paths: dict[str, str] = {}  # what each name was pointed to
        self._dropped: set[str] = set()

    def point(self, name: str, adapter: Adapter) -> None:
        """Have `name` mean `adapter`.

        Raises:
            PassingError: if vLLM is away, or broken.
            UserError: if the adapter does not belong there, or vLLM refuses it.
        """
        path = str(require_servable(adapter, self._ground))
        self._load(name, path)
        self._paths[name] = path
        self._dropped.discard(name)

    def drop(self, name: str) -> None:
        """Have `name` mean nothing any more, from the next `tidy` on."""
        self._paths.pop(name, None)
        self._dropped.add(name)

    def tidy(self) -> None:
        """Put right what vLLM has otherwise: started anew, it has what its config file names.

        Raises:
            UserError: says what could not be put right; a PassingError if vLLM is away.
        """
        there = self._listed()
        faults = []
        for name in [*self._paths, *(self._dropped & there.keys())]:
            path = self._paths.get(name)
            try:
                if path is None:
                    self._post("/v1/unload_lora_adapter", {"lora_name": name})
                elif there.get(name) != path:
                    self._load(name, path)
            except UserError as error:
                faults.append(str(error))
        if faults:
            raise UserError("; ".join(faults))

    def _listed(self) -> dict[str, str | None]:
        """Return the names that vLLM has, and the path of each."""
        answer = self._ask("GET", "/v1/models")
        if answer.is_error:
            raise PassingError(f"vLLM does not list its models: {answer.text[:200]}; see its log")
        return {model["id"]: model.get("root") for model in answer.json()["data"]}

    def _load(self, name: str, path: str) -> None:
        body = {"lora_name": name, "lora_path": path, "load_inplace": True}
        self._post("/v1/load_lora_adapter", body)

    def _post(self, path: str, body: dict[str, Any]) -> None:
        name = body["lora_name"]
        answer = self._ask("POST", path, json=body)
        if answer.status_code == HTTPStatus.NOT_FOUND and name not in answer.text:
            raise UserError(
                "vLLM was started without VLLM_ALLOW_RUNTIME_LORA_UPDATING=True; start it by the "
                "command that make vllm shows"
            )
        if answer.is_error:
            fault = PassingError if answer.is_server_error else UserError
            raise fault(
                f"vLLM refuses {name}: {answer.text[:200]}; see its log, and start make vllm and "
                "vLLM anew if this adapter has a larger rank than those before"
            )

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **options)
        except httpx.HTTPError as error:
            raise PassingError(f"vLLM does not answer: {error}; start it") from error
