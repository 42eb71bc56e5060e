"""An answer as server-sent events, no faster than the client reads them."""

import asyncio
from collections.abc import AsyncIterator

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from loraflow.serve.http.answer import Fresh
from loraflow.serve.http.chunks import (
    DONE,
    chunk,
    event,
    headers,
    usage_chunk,
    wants_usage,
)
from loraflow.serve.http.errors import ApiError, ClientGoneError, timed_out
from loraflow.serve.http.talk import Talk

_UNBUFFERED = {"cache-control": "no-cache", "x-accel-buffering": "no"}  # the latter for nginx
_LAST_WORD_SECONDS = 1.0  # for a client that reads too slowly to be told so


class EventStream(Response):
    """Sends what the engine writes; what comes while the client is slow is sent at once later."""

    media_type = "text/event-stream"

    def __init__(self, talk: Talk, first: Fresh, seconds: float) -> None:
        """Begin with `first`; the end comes `seconds` after the request at the latest."""
        super().__init__(headers={**headers(talk), **_UNBUFFERED})
        del self.headers["content-length"]
        self._talk = talk
        self._first = first
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send all of it, or why there is no more."""
        started = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        try:
            async with asyncio.timeout_at(self._talk.arrival.clock + self._seconds):
                await send(started)
                async for content in self._events():
                    await send({"type": "http.response.body", "body": content, "more_body": True})
            last = DONE
        except TimeoutError:
            last = event(timed_out(self._seconds).body())
        except ApiError as error:
            last = event(error.body())
        except ClientGoneError:
            return
        await _send_last(send, last)

    async def _events(self) -> AsyncIterator[bytes]:
        talk, fresh = self._talk, self._first
        yield event(chunk(talk, {"role": "assistant", "content": ""}))
        while True:
            if fresh.text:
                yield event(chunk(talk, {"content": fresh.text}))
            if fresh.finish:
                break
            fresh = await talk.answer.next()
        yield event(chunk(talk, {}, fresh.finish))
        if wants_usage(talk):
            yield event(usage_chunk(talk))


async def _send_last(send: Send, content: bytes) -> None:
    try:
        async with asyncio.timeout(_LAST_WORD_SECONDS):
            await send({"type": "http.response.body", "body": content, "more_body": False})
    except TimeoutError:
        return
