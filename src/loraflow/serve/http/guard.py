"""The door: who may come in at all, what is counted, and what is said if something is broken.

A plain ASGI middleware: those of the framework's own kind stand between a stream and its reader.
"""

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import time
import uuid
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loraflow.serve.http.admission import Admission
from loraflow.serve.http.errors import ApiError, as_response, stopping, unexpected
from loraflow.serve.http.metrics import Metrics

CHAT = "/v1/chat/completions"
HEALTH = "/health"
METRICS = "/metrics"

_log = logging.getLogger(__name__)


class Guard:
    """Stands before the app: host names, the key, the end of the server, and counting."""

    def __init__(
        self, app: ASGIApp, *, key: str | None, admission: Admission, metrics: Metrics
    ) -> None:
        """Guard `app`; without a key only programs of this machine are let in."""
        self._app = app
        self._key = None if key is None else _digest(key.encode())
        self._admission = admission
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or tell why not."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.monotonic()
        reply = _Reply(send)
        try:
            self._check(scope)
            await self._app(scope, receive, reply)
        except ApiError as error:
            await as_response(error)(scope, receive, reply)
        except asyncio.CancelledError:  # the server's end; it has no other use for this task
            if not reply.status:
                await as_response(stopping())(scope, receive, reply)
        except Exception:  # noqa: BLE001 - a bug, of which the client learns its number alone
            number = uuid.uuid4().hex
            _log.exception("bug %s", number)
            if not reply.status:
                await as_response(unexpected(number))(scope, receive, reply)
        finally:
            if scope["path"] == CHAT:
                name = scope.get("state", {}).get("name", "")
                self._metrics.count(name, reply.status, time.monotonic() - started)

    def _check(self, scope: Scope) -> None:
        headers = Headers(scope=scope)
        if self._key is None:
            _require_local(headers.get("host", ""))
        elif scope["path"] != HEALTH and not self._is_key(headers.get("authorization", "")):
            raise ApiError(
                HTTPStatus.UNAUTHORIZED,
                "The API key is missing or wrong; send the header Authorization: Bearer KEY.",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        if self._admission.is_stopping and scope["path"] not in (HEALTH, METRICS):
            raise stopping()

    def _is_key(self, sent: str) -> bool:
        """Compare in a time that tells nothing of the key, not even its length."""
        scheme, _, key = sent.partition(" ")
        assert self._key is not None
        is_equal = hmac.compare_digest(_digest(key.strip().encode("latin-1")), self._key)
        return is_equal and scheme.lower() == "bearer"


class _Reply:
    """Passes a response on, and remembers its status; 0: there was none."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()


def _require_local(host: str) -> None:
    """Refuse pages of other sites that let their name point here (DNS rebinding).

    Such a page asks for its own host name. Where there is a key, it does not know it.
    """
    name = host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]
    if not _is_loopback(name.strip("[]").lower()):
        raise ApiError(
            HTTPStatus.FORBIDDEN,
            "The header Host must be localhost or a loopback address, since the server has no API "
            "key; start it with LORAFLOW_API_KEY to use other names.",
            code="host_not_allowed",
        )


def _is_loopback(name: str) -> bool:
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
