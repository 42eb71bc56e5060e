"""A server in a process of its own, for tests that stop it: FOLDER GRACE_SECONDS.

Prints its port. Every answer is a word a tenth of a second, to the tokens that were asked for.
"""

import sys
import threading
import time
from pathlib import Path

from loraflow.config import QuantizationConfig
from loraflow.model.source import BaseModel
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.engine.engine import Ticket
from loraflow.serve.engine.wish import Receive, Wish
from loraflow.serve.http.app import make_app
from loraflow.serve.http.desk import Serving
from loraflow.serve.http.server import Server
from loraflow.serve.names.names import Names
from tests.serve.http.held_engine import HeldEngine
from tests.serve.http.served import NATIVE, serve_config


class SlowEngine(HeldEngine):
    def submit(self, adapter: Adapter, wish: Wish, receive: Receive) -> Ticket:
        ticket = super().submit(adapter, wish, receive)
        held = self.answers[-1]

        def write() -> None:
            for number in range(1, wish.max_tokens + 1):
                time.sleep(0.1)
                held.say("word ", "length" if number == wish.max_tokens else None)

        threading.Thread(target=write, daemon=True).start()
        return ticket


def main() -> None:
    folder, grace = Path(sys.argv[1]), float(sys.argv[2])
    base = BaseModel("tiny", folder, "0", False, QuantizationConfig("none", False, "float32"))
    engine = SlowEngine(base)
    names = Names(engine.as_engine(), NATIVE)
    app = make_app(Serving(serve_config(), engine.as_engine(), names, None, None, None))
    server = Server(app, "127.0.0.1", 0, grace_seconds=grace)

    def tell() -> None:
        while not server.started:
            time.sleep(0.01)
        sys.stdout.write(f"{server.servers[0].sockets[0].getsockname()[1]}\n")
        sys.stdout.flush()

    threading.Thread(target=tell, daemon=True).start()
    server.run()


if __name__ == "__main__":
    main()
