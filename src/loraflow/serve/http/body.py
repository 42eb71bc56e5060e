"""Reads a request's body: never more of it than allowed, and nothing but what the schema says."""

import asyncio
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, TypeVar

import orjson
from fastapi import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect

from loraflow.serve.http.errors import ApiError, ClientGoneError, bad_request, shown

# A body that is too large is read on for a moment and thrown away: a client that is still sending
# would otherwise see a broken connection and not the reason.
_DISCARDED = 16 * 2**20  # bytes
_DISCARD_SECONDS = 2.0

_Schema = TypeVar("_Schema", bound=BaseModel)


async def read_object(request: Request, most: int) -> dict[str, Any]:
    """Return the JSON object that the client sends.

    Raises:
        ApiError: 413 for more than `most` bytes, 415 for another media type, 400 for no object.
        ClientGoneError: if it stops sending.
    """
    _require_json(request)
    content = await _read(request, most)
    try:
        value = orjson.loads(content)  # refuses NaN, half surrogates, and more than 1024 levels
    except orjson.JSONDecodeError as error:
        raise bad_request(f"The body is not valid JSON: {error}", code="invalid_json") from None
    if not isinstance(value, dict):
        raise bad_request("The body must be a JSON object.", code="invalid_json")
    return value


def checked(schema: type[_Schema], value: dict[str, Any]) -> _Schema:
    """Return the object as `schema` has it; fields that it does not know are left out.

    Raises:
        ApiError: names the first wrong field, and what is wrong with it.
    """
    try:
        return schema.model_validate(value)
    except ValidationError as error:
        raise _explain(error.errors(include_url=False, include_input=False)[0]) from None


def _require_json(request: Request) -> None:
    """Refuse what a page of another site could send without its browser asking us first."""
    sent = request.headers.get("content-type", "")
    if sent.partition(";")[0].strip().lower() != "application/json":
        raise ApiError(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
            f"The header content-type must be application/json, got {shown(sent)}.",
            code="unsupported_media_type",
        )


async def _read(request: Request, most: int) -> bytes:
    chunks = _chunks(request)
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > most + _DISCARDED:
        raise _too_large(most)
    content = bytearray()
    async for chunk in chunks:
        content += chunk
        if len(content) > most:
            await _discard(chunks)
            raise _too_large(most)
    return bytes(content)


async def _chunks(request: Request) -> AsyncIterator[bytes]:
    try:
        async for chunk in request.stream():
            yield chunk
    except ClientDisconnect:
        raise ClientGoneError from None


async def _discard(chunks: AsyncIterator[bytes]) -> None:
    size = 0
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            async for chunk in chunks:
                size += len(chunk)
                if size > _DISCARDED:
                    return
    except TimeoutError:
        return


def _too_large(most: int) -> ApiError:
    return ApiError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"The body is larger than {most} bytes.",
        code="body_too_large",
        headers={"connection": "close"},
    )


def _explain(details: ErrorDetails) -> ApiError:
    """Say it as OpenAI does: `messages[0].content`, and a code."""
    place = ""
    for part in details["loc"]:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else str(part)
    kind = details["type"]
    code = "invalid_type" if kind.endswith("_type") else _CODES.get(kind, "invalid_value")
    message = details["msg"].removeprefix("Value error, ")
    return bad_request(f"{place}: {message}" if place else message, place or None, code)


_CODES = {"missing": "missing_required_parameter"}
