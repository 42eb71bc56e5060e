"""The server: one base in memory, many adapters, an OpenAI-compatible API.

python -m flows.serve                                     # the champion of make nightly
python -m flows.serve 'serve.adapters={mine: run:ID}'     # a run, as the model "mine"
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass as checked

from flows.command import run_safely
from flows.exposure import require_password, shown_host
from flows.used_command import Used, read_used, used_words
from loraflow.config import ServeConfig
from loraflow.config.values import STRICT
from loraflow.errors import PassingError, UserError

if TYPE_CHECKING:
    from loraflow.config import Config
    from loraflow.serve.adapters.adapter import Adapter
    from loraflow.serve.adapters.find import AdapterFinder
    from loraflow.serve.http.desk import Serving

KEY = "LORAFLOW_API_KEY"


@checked(frozen=True, config=STRICT)
class Sections:
    """What a server has beside the experiment's own sections."""

    serve: ServeConfig


def main() -> None:
    """Read the command line, load the base and its adapters, answer until told to end."""
    run_safely(_run)


def _run() -> None:
    words = used_words("serve")
    if words is None:
        return
    used = read_used("serve", Sections, words)
    serve = used.sections.serve
    require_password(serve.host, bool(os.environ.get(KEY)), f"set {KEY}", key="serve.host")
    with _open(used) as serving:
        from loraflow.serve.http.app import make_app
        from loraflow.serve.http.server import Server

        server = Server(make_app(serving), serve.host, serve.port)
        _greet(serving)
        server.run()


@contextmanager
def _open(used: Used[Sections]) -> Iterator["Serving"]:
    """Yield all that the API stands on; behind the block it is closed."""
    from loraflow.model.source import find_base
    from loraflow.serve.adapters.find import AdapterFinder
    from loraflow.serve.engine.engine import Engine
    from loraflow.serve.http.desk import Serving
    from loraflow.serve.names.follow import Follower
    from loraflow.serve.names.names import Names
    from loraflow.serve.traffic.log import TrafficLog

    serve = used.sections.serve
    finder = AdapterFinder(
        used.config.tracking, registered=serve.registered, cache=serve.folder / "adapters"
    )
    given = {name: finder.find(source) for name, source in serve.adapters.items()}
    config = _config(used, finder, list(given.values()))
    base = find_base(config.model, config.quantization)
    engine = Engine(base, answers_at_once=serve.answers_at_once, queue=serve.limits.queue)
    names = Names(engine, config.template)
    note = serve.folder / "aliases.json"
    follower = Follower(names, finder, note=note, seconds=serve.poll_seconds)
    log = TrafficLog(serve.folder / "log.db") if serve.log else None
    try:
        for name, adapter in given.items():
            names.point(name, adapter)
        follower.start()
        yield Serving(serve, engine, names, follower, log, os.environ.get(KEY))
    finally:
        follower.close()
        engine.close()
        if log is not None:
            log.close()


def _config(used: Used[Sections], finder: "AdapterFinder", given: list["Adapter"]) -> "Config":
    """Return the config whose base is served: of the champion's training, else of the first."""
    try:
        champion = finder.aliases().get("champion")
        leads = [finder.of_version(champion, "champion")] if champion is not None else []
    except PassingError:  # the follower says so, and serves what it served last
        leads = []
    known = [adapter for adapter in [*leads, *given] if adapter.settings is not None]
    return used.config_of(known[0]) if known else used.config


def _greet(serving: "Serving") -> None:
    serve = serving.config
    url = f"http://{shown_host(serve.host)}:{serve.port}/v1"
    sys.stderr.write(f"{url} (Ctrl-C ends it)\n")
    for named in serving.names.listed():
        sys.stderr.write(f"  {named.name:<12} {named.adapter.short}\n")
    sys.stderr.flush()


__all__ = ["UserError"]
