"""The server: one base in memory, many adapters, an OpenAI-compatible API.

python -m flows.serve                                     # the champion of make nightly
python -m flows.serve 'serve.adapters={mine: run:ID}'     # a run, as the model "mine"
"""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flows.command import run_safely
from flows.console import speak_plainly
from flows.exposure import require_password, shown_host
from flows.serving import (
    KEY,
    Sections,
    bound_waits_for_mlflow,
    find_given,
    make_follower,
    served_config,
)
from flows.used_command import Used, read_used, used_words
from loraflow.errors import UserError

if TYPE_CHECKING:
    from loraflow.serve.http.desk import Serving


def main() -> None:
    """Read the command line, load the base and its adapters, answer until told to end."""
    speak_plainly()
    bound_waits_for_mlflow()
    run_safely(_run)


def _run() -> None:
    words = used_words("serve")
    if words is None:
        return
    used = read_used("serve", Sections, words)
    serve = used.sections.serve
    require_password(serve.host, bool(os.environ.get(KEY)), f"set {KEY}", option="serve.host=")
    with _bound(serve.host, serve.port) as bound, _open(used) as serving:
        from loraflow.serve.http.app import make_app
        from loraflow.serve.http.server import Server

        server = Server(make_app(serving), serve.host, serve.port)
        _greet(serving, bound.getsockname()[1])
        server.run([bound])


@contextmanager
def _open(used: Used[Sections]) -> Iterator["Serving"]:
    """Yield all that the API stands on; behind the block it is closed."""
    from loraflow.model.source import find_base
    from loraflow.serve.engine.engine import Engine
    from loraflow.serve.http.desk import Serving
    from loraflow.serve.names.names import Names
    from loraflow.serve.traffic.log import TrafficLog

    serve = used.sections.serve
    finder, given = find_given(used)
    config = served_config(used, finder, given)
    base = find_base(config.model, config.quantization)
    engine = Engine(base, answers_at_once=serve.answers_at_once, queue=serve.limits.queue)
    names = Names(engine, config.template)
    follower = make_follower(serve, names, finder)
    log = TrafficLog(serve.folder / "log.db") if serve.log else None
    try:
        for name, adapter in given.items():
            names.point(name, adapter)
        if follower is not None:
            follower.start()
        yield Serving(serve, engine, names, follower, log, os.environ.get(KEY) or None)
    finally:
        if follower is not None:
            follower.close()
        engine.close()
        if log is not None:
            log.close()


def _bound(host: str, port: int) -> socket.socket:
    """Return a socket that has its port before a model is loaded; who calls already has to wait."""
    bound = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen()  # with SO_REUSEADDR others could have the port too until then
    except OSError as error:
        bound.close()
        raise UserError(
            f"serve.port={port} is taken, or serve.host={host} is not of this machine "
            f"({error.strerror}); set serve.port=N, 0 for any that is free"
        ) from error
    return bound


def _greet(serving: "Serving", port: int) -> None:
    from loraflow.serve.adapters.adapter import BASE

    url = f"http://{shown_host(serving.config.host)}:{port}/v1"
    sys.stderr.write(f"{url} (Ctrl-C ends it)\n")
    for named in serving.names.listed():
        sys.stderr.write(f"  {named.name:<12} {named.adapter.short:<12}  {named.adapter.source}\n")
    if all(named.adapter is BASE for named in serving.names.listed()):
        model = serving.config.registered or "serve.registered=null"
        sys.stderr.write(
            f"{model} has no champion, so the base alone answers; make nightly makes one. If the "
            "nights have another name: serve.registered=NAME\n"
        )
    sys.stderr.flush()


if __name__ == "__main__":
    main()
