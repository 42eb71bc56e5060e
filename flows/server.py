"""Prefect's server: a temporary one for a run that finds none, or the dashboard (`make dashboard`).

python -m flows.server                   # the dashboard on http://127.0.0.1:4200
python -m flows.server --host 0.0.0.0    # for others too: only with a password
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flows.command import run_safely
from flows.exposure import require_password, shown_host
from loraflow.errors import UserError
from loraflow.lock import is_held, locked

HOST = "127.0.0.1"
PORT = 4200
START_SECONDS = 120  # a new database on a busy machine takes a while
STOP_SECONDS = 20


@contextmanager
def prefect_api() -> Iterator["Api"]:
    """Yield an API for flows to run against.

    In this order: the one that PREFECT_API_URL names, this project's dashboard if it is up, or a
    temporary server on the same database, which ends with the block. Should this process be
    killed, the temporary server sees its standard input close, and ends too.
    """
    if url := running_url():
        yield Api(url, None)
        return
    os.environ["NO_PROXY"] = ",".join(filter(None, [os.environ.get("NO_PROXY"), HOST]))
    with socket.create_server((HOST, 0)) as listening:
        port = listening.getsockname()[1]
        server = subprocess.Popen(
            [sys.executable, "-m", "flows.server", "--socket", str(listening.fileno())],
            stdin=subprocess.PIPE,
            pass_fds=[listening.fileno()],
            start_new_session=True,  # Ctrl-C is for the run, which then tells the server its end
            cwd=Path(__file__).resolve().parents[1],
            env={**os.environ, "PREFECT_HOME": str(prefect_home())},
        )
    try:
        yield Api(f"http://{HOST}:{port}/api", server)
    finally:
        _drain()
        server.terminate()
        try:
            server.wait(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()


class Api:
    """A Prefect API that may still be starting."""

    def __init__(self, url: str, server: "subprocess.Popen[bytes] | None") -> None:
        """Remember the address, and the process if the server is ours."""
        self.url = url
        self._server = server

    @property
    def is_own(self) -> bool:
        """Tell whether the server was started by this process, a moment ago."""
        return self._server is not None

    def wait(self) -> str:
        """Return the address as soon as the server answers.

        Raises:
            UserError: if it does not.
        """
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._server and self._server.poll() is not None:
                break
            if _answers(self.url):
                return self.url
            if not self._server and not is_held(prefect_home() / "dashboard.lock"):
                break  # somebody else's: it is up or it is not
            time.sleep(0.1)
        raise UserError(
            f"the Prefect server at {self.url} does not answer; start it, "
            "or unset PREFECT_API_URL to use a temporary one"
        )

    @contextmanager
    def connected(self) -> Iterator[None]:
        """Run flows of the block against this API, from every thread and worker of this process.

        Prefect's own `temporary_settings` hold in one thread; its process pool has others, which
        would start a server of their own.
        """
        from prefect.context import refresh_global_settings_context

        from flows.reaper import reap

        before = os.environ.get(_URL)
        os.environ[_URL] = self.wait()
        refresh_global_settings_context()
        try:
            reap()
            yield
        finally:
            if before is None:
                del os.environ[_URL]
            else:
                os.environ[_URL] = before
            refresh_global_settings_context()


_URL = "PREFECT_API_URL"
_AUTH = "PREFECT_SERVER_API_AUTH_STRING"


def running_url() -> str | None:
    """Return the API that PREFECT_API_URL names, or this project's dashboard's if it is up."""
    return os.environ.get(_URL) or _dashboard_url()


def prefect_home() -> Path:
    """Return the folder of this project's Prefect database."""
    return Path(os.environ.get("PREFECT_HOME", ".prefect")).absolute()


def _answers(url: str) -> bool:
    """Ask for the health page, past any proxy; whatever HTTP status it has, somebody answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{url}/health", timeout=5):
            return True
    except urllib.error.HTTPError:
        return True
    except (urllib.error.URLError, TimeoutError, ConnectionError, ValueError):
        return False


def _dashboard_url() -> str | None:
    """Return the address of this project's dashboard if one is running."""
    note = prefect_home() / "dashboard.json"
    if not is_held(prefect_home() / "dashboard.lock") or not note.exists():
        return None
    url: str = json.loads(note.read_text())["url"]
    return url


def _drain() -> None:
    """Hand over queued log lines and events while the server is still there to take them."""
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    APILogWorker.drain_all()
    EventsWorker.drain_all()


def _serve_until_stdin_closes(descriptor: int) -> None:
    os.environ |= {"PREFECT__SERVER_EPHEMERAL": "1", "PREFECT_UI_ENABLED": "0"}
    import uvicorn
    from prefect.server.api.server import create_app

    server = uvicorn.Server(
        uvicorn.Config(create_app(final=True), fd=descriptor, log_level="error", lifespan="on")
    )

    def watch() -> None:
        sys.stdin.buffer.read()
        server.should_exit = True

    threading.Thread(target=watch, daemon=True).start()
    server.run()


def _serve_dashboard(host: str, port: int) -> None:
    require_password(host, bool(os.environ.get(_AUTH)), f"set {_AUTH}=USER:PASSWORD")
    home = prefect_home()
    home.mkdir(parents=True, exist_ok=True)
    if is_held(home / "dashboard.lock"):
        sys.exit(f"the dashboard is up already: {_dashboard_url()}")
    os.environ["PREFECT_HOME"] = str(home)
    shown = f"http://{shown_host(host)}:{port}"
    os.environ["PREFECT_UI_API_URL"] = f"{shown}/api"
    import uvicorn
    from prefect.server.api.server import create_app

    with locked(home / "dashboard.lock"):
        (home / "dashboard.json").write_text(json.dumps({"url": f"{shown}/api"}))
        sys.stderr.write(f"Prefect dashboard: {shown} (Ctrl-C ends it)\n")
        uvicorn.run(create_app(final=True), host=host, port=port, log_level="warning")


def main() -> None:
    """Serve the dashboard, or a temporary API on a socket that was handed down."""
    parser = argparse.ArgumentParser(description="Prefect's server on this project's database")
    parser.add_argument("--host", default=HOST, help=f"default {HOST}: this machine alone")
    parser.add_argument("--port", type=int, default=PORT, help=f"default {PORT}")
    parser.add_argument("--socket", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.socket is not None:
        _serve_until_stdin_closes(arguments.socket)
    else:
        run_safely(lambda: _serve_dashboard(arguments.host, arguments.port))


if __name__ == "__main__":
    main()
