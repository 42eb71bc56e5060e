"""Runs the app until it is told to end, and then lets those finish who are being answered."""

import time
from types import FrameType

import uvicorn
from fastapi import FastAPI

from loraflow.serve.http.admission import Admission
from loraflow.serve.http.desk import Desk

GRACE_SECONDS = 30.0  # from SIGTERM until answers are broken off
_FLUSH_SECONDS = 5  # then, until connections are closed on whoever does not read
_KEEP_ALIVE_SECONDS = 65  # longer than clients keep idle connections, so that they close first
_MOST_CONNECTIONS = 1000  # idle ones too


class Server(uvicorn.Server):
    """On the first SIGTERM or SIGINT it takes no more requests; on the second it ends."""

    def __init__(
        self, app: FastAPI, host: str, port: int, *, grace_seconds: float = GRACE_SECONDS
    ) -> None:
        """Make ready to listen; `run` does until a signal comes."""
        desk: Desk = app.state.desk
        self._admission: Admission = desk.admission
        self._grace_seconds = grace_seconds
        self._ends_at: float | None = None
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                ws="none",
                lifespan="on",
                log_config=None,
                log_level="warning",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=_KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=_FLUSH_SECONDS,
                limit_concurrency=_MOST_CONNECTIONS,
            )
        )

    def stop(self) -> None:
        """Take no more requests, and end when the last answer is done or the grace is over."""
        self._admission.is_stopping = True
        if self._ends_at is None:
            self._ends_at = time.monotonic() + self._grace_seconds

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop; on a second signal, wait for no answer any more."""
        if self._ends_at is None:
            self.stop()
        else:
            self._ends_at = time.monotonic()

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second whether the end has come."""
        if self._ends_at is not None and self._is_over(self._ends_at):
            self._admission.end()
            return True
        return await super().on_tick(counter)

    def _is_over(self, ends_at: float) -> bool:
        return self._admission.open == 0 or time.monotonic() >= ends_at
