"""The FastAPI app of `make serve`."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from importlib.metadata import version

from fastapi import FastAPI

from loraflow.serve.http import chat, pages
from loraflow.serve.http.desk import Desk, Serving
from loraflow.serve.http.documented import document
from loraflow.serve.http.errors import add_handlers
from loraflow.serve.http.guard import Guard
from loraflow.serve.http.schema import ChatRequest, FeedbackRequest
from loraflow.serve.http.shadow import Shadows


def make_app(serving: Serving) -> FastAPI:
    """Return the app. It owns none of the parts of `serving`: who made them closes them.

    There is no page with forms at /docs, since FastAPI's loads its scripts from the network;
    /openapi.json describes the API. No CORS headers are sent, so pages of other sites read nothing.
    """
    desk = Desk(serving)
    shadows = Shadows(desk)

    @asynccontextmanager
    async def living(_: FastAPI) -> AsyncIterator[None]:
        background = asyncio.create_task(shadows.run())
        yield
        background.cancel()
        with suppress(asyncio.CancelledError):
            await background
        desk.close()

    app = FastAPI(
        title="loraflow",
        version=version("loraflow"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=living,
    )
    app.state.desk = desk
    app.state.shadows = shadows
    app.include_router(chat.router)
    app.include_router(pages.router)
    app.add_middleware(Guard, key=serving.key, admission=desk.admission, metrics=desk.metrics)
    add_handlers(app)
    document(app, ChatRequest, FeedbackRequest)
    return app
