"""The same names on vLLM, for a GPU: writes its config, shows its command, follows the registry.

python -m flows.vllm                     # in one terminal; the command it shows in another
"""

import os
import sys
import time

from flows.command import run_safely
from flows.console import speak_plainly
from flows.exposure import require_password
from flows.serving import KEY, Sections, find_given, note_of, served_config
from flows.used_command import Used, read_used, used_words


def main() -> None:
    """Read the command line, write what vLLM needs, move its adapters until told to end."""
    speak_plainly()
    run_safely(_run)


def _run() -> None:
    words = used_words("serve")
    if words is not None:
        _follow(read_used("serve", Sections, words))


def _follow(used: Used[Sections]) -> None:
    from loraflow.model.source import find_base
    from loraflow.serve.names.follow import Follower
    from loraflow.serve.vllm.names import VllmNames
    from loraflow.serve.vllm.settings import write_settings

    serve = used.sections.serve
    require_password(serve.host, bool(os.environ.get(KEY)), f"set {KEY}", option="serve.host=")
    finder, given = find_given(used)
    config = served_config(used, finder, given)
    base = find_base(config.model, config.quantization)
    folder = serve.folder / "vllm"
    current = {
        alias: finder.of_version(number, alias) for alias, number in finder.aliases().items()
    }
    command = write_settings(serve, base, {**given, **current}, config.template, out=folder)
    key = os.environ.get(KEY)
    sys.stdout.write(f"{'VLLM_API_KEY=$' + KEY + ' ' if key else ''}{command}\n")
    sys.stdout.flush()
    sys.stderr.write("following the registry (Ctrl-C ends it; vLLM goes on)\n")
    names = VllmNames(f"http://{serve.host}:{serve.port}", key)
    follower = Follower(names, finder, note=note_of(serve), seconds=serve.poll_seconds)
    follower.start()
    while True:
        time.sleep(serve.poll_seconds)


if __name__ == "__main__":
    main()
