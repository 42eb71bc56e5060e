"""POST /v1/chat/completions."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response

from loraflow.serve.http.answer import Answer
from loraflow.serve.http.body import checked, read_object
from loraflow.serve.http.choice import choose
from loraflow.serve.http.chunks import completion, headers
from loraflow.serve.http.desk import Desk
from loraflow.serve.http.documented import body_of
from loraflow.serve.http.errors import ClientGoneError, timed_out
from loraflow.serve.http.guard import CHAT
from loraflow.serve.http.schema import ChatRequest, refuse_unsupported
from loraflow.serve.http.shadow import Shadows
from loraflow.serve.http.stream import EventStream
from loraflow.serve.http.talk import Arrival, Talk

router = APIRouter()


async def _closing() -> AsyncIterator[AsyncExitStack]:
    """Yield a stack that is closed when the response is sent, or nobody waits for it any more."""
    async with AsyncExitStack() as stack:
        yield stack


_Held = Annotated[AsyncExitStack, Depends(_closing)]


@router.post(CHAT, openapi_extra=body_of(ChatRequest))
async def complete(request: Request, held: _Held) -> Response:
    """Answer a conversation, in one piece or as a stream of server-sent events."""
    desk: Desk = request.app.state.desk
    arrival = Arrival()
    seconds = desk.config.limits.seconds
    try:
        async with asyncio.timeout_at(arrival.clock + seconds):
            talk = await _begin(request, desk, arrival, held)
            if talk.request.stream:
                return EventStream(talk, await talk.answer.next(), seconds)
            await talk.answer.whole()
    except TimeoutError:
        raise timed_out(seconds) from None
    return JSONResponse(completion(talk), headers=headers(talk))


async def _begin(request: Request, desk: Desk, arrival: Arrival, held: AsyncExitStack) -> Talk:
    """Read the request and hand it to the engine; what it holds is let go of with `held`."""
    held.enter_context(desk.admission.request())
    value = await read_object(request, desk.config.limits.body_bytes)
    refuse_unsupported(value)
    wish = checked(ChatRequest, value)
    choice = choose(wish, request.headers.get("x-user", ""), desk.config.traffic)
    talk = await held.enter_async_context(desk.talk(wish, choice, arrival))
    request.state.name = talk.choice.name
    shadows: Shadows = request.app.state.shadows
    held.callback(shadows.offer, talk)
    await held.enter_async_context(_watching(request, talk.answer))
    return talk


@asynccontextmanager
async def _watching(request: Request, answer: Answer) -> AsyncIterator[None]:
    """Hang up as soon as the client closes the connection."""

    async def watch() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        answer.hang_up(ClientGoneError())

    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()
        with suppress(asyncio.CancelledError):
            await watcher
