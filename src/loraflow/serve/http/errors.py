"""What is answered instead of a completion, in the shape that OpenAI's clients read."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException

_SHOWN = 80  # characters of what the client sent
_RETRY_SECONDS = "5"  # by then some of those who wait have been answered
CLIENT_GONE = 499  # nobody reads it; logs and metrics call it so since nginx does


class ApiError(Exception):
    """A request that is not answered, with the status and the reason that the client is told."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Say what is wrong, with which field, and by which code programs know it."""
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """Return it as OpenAI words it."""
        kind = _KINDS.get(self.status) or (
            "server_error"
            if self.status >= HTTPStatus.INTERNAL_SERVER_ERROR
            else "invalid_request_error"
        )
        return {
            "error": {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        }


class ClientGoneError(Exception):
    """The client has closed the connection, so its answer is no longer written."""


_KINDS = {401: "authentication_error", 408: "timeout_error", 429: "rate_limit_error"}


def shown(text: str) -> str:
    """Return what a client sent as one short quoted line."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")


def bad_request(message: str, param: str | None = None, code: str | None = None) -> ApiError:
    """Refuse what the client has to change."""
    return ApiError(HTTPStatus.BAD_REQUEST, message, param=param, code=code)


def too_long(message: str) -> ApiError:
    """Refuse a conversation that the model has no room for."""
    return bad_request(message, "messages", "context_length_exceeded")


def unknown_model(name: str, names: list[str]) -> ApiError:
    """Refuse a name that means no adapter now."""
    return ApiError(
        HTTPStatus.NOT_FOUND,
        f"The model {shown(name)} does not exist; GET /v1/models lists those that do: "
        f"{', '.join(names)}",
        param="model",
        code="model_not_found",
    )


def too_busy() -> ApiError:
    """Refuse a request since others wait already."""
    return ApiError(
        HTTPStatus.TOO_MANY_REQUESTS,
        "The server is busy: as many requests as may wait do so already. Try again later.",
        code="queue_full",
        headers={"retry-after": _RETRY_SECONDS},
    )


def timed_out(seconds: float) -> ApiError:
    """Give up a request that took longer than limits.seconds."""
    return ApiError(
        HTTPStatus.REQUEST_TIMEOUT,
        f"The request was not done within {seconds:g} s; ask for fewer tokens, or try again later.",
        code="timeout",
        headers={"x-should-retry": "false"},  # or OpenAI's client asks a busy server twice more
    )


def stopping() -> ApiError:
    """Refuse a request, or break off an answer, since the server ends."""
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The server is shutting down. Try again later.",
        code="shutting_down",
        headers={"retry-after": "5", "connection": "close"},
    )


def failed() -> ApiError:
    """Tell that the model could not answer, which is in the server's log."""
    return ApiError(
        HTTPStatus.SERVICE_UNAVAILABLE,
        "The model failed while it answered. Try again later.",
        code="generation_failed",
    )


def unexpected(number: str) -> ApiError:
    """Tell of a bug without a word of it; `number` finds it in the server's log."""
    return ApiError(
        HTTPStatus.INTERNAL_SERVER_ERROR,
        f"Something went wrong in the server; its log tells more under {number}.",
        code="internal_error",
    )


def as_response(error: ApiError) -> Response:
    """Return the response that tells the client."""
    return JSONResponse(error.body(), status_code=error.status, headers=error.headers)


def add_handlers(app: FastAPI) -> None:
    """Answer every refusal of the app in OpenAI's shape, the framework's own included."""

    async def refuse(_: Request, error: Exception) -> Response:
        assert isinstance(error, ApiError)  # as registered below
        return as_response(error)

    async def refuse_route(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # as registered below
        status = HTTPStatus(error.status_code)
        return as_response(
            ApiError(
                status,
                f"{request.method} {shown(request.url.path)}: {status.phrase}; see /openapi.json",
                code=status.phrase.lower().replace(" ", "_"),
                headers=error.headers,
            )
        )

    async def note_absence(_: Request, error: Exception) -> Response:
        return Response(status_code=CLIENT_GONE)

    app.add_exception_handler(ApiError, refuse)
    app.add_exception_handler(HTTPException, refuse_route)
    app.add_exception_handler(ClientGoneError, note_absence)
