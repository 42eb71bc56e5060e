"""The same names on vLLM, for a GPU: writes its config, shows its command, follows the registry.

python -m flows.vllm                     # in one terminal; the command it shows in another
"""

import os
import sys
import time
from dataclasses import replace

from flows.command import run_safely
from flows.console import speak_plainly
from flows.exposure import require_password, shown_host
from flows.serving import (
    KEY,
    Sections,
    bound_waits_for_mlflow,
    find_champion,
    find_given,
    make_follower,
    served_config,
)
from flows.used_command import Used, read_used, used_words


def main() -> None:
    """Read the command line, write what vLLM needs, move its adapters until told to end."""
    speak_plainly()
    bound_waits_for_mlflow()
    run_safely(_run)


def _run() -> None:
    words = used_words("serve")
    if words is not None:
        _follow(_in_own_folder(read_used("serve", Sections, words)))


def _in_own_folder(used: Used[Sections]) -> Used[Sections]:
    """Keep adapters apart from those of make serve, which deletes what it does not need itself."""
    serve = used.sections.serve
    return replace(used, sections=Sections(replace(serve, folder=serve.folder / "vllm")))


def _follow(used: Used[Sections]) -> None:
    from loraflow.model.source import find_base
    from loraflow.serve.vllm.fit import Ground
    from loraflow.serve.vllm.names import VllmNames
    from loraflow.serve.vllm.settings import write_settings

    serve, key = used.sections.serve, os.environ.get(KEY) or None
    require_password(serve.host, bool(key), f"set {KEY}", option="serve.host=")
    finder, given = find_given(used)
    champion = find_champion(serve, finder)
    config = served_config(used, finder, given)
    ground = Ground(find_base(config.model, config.quantization), config.template)
    adapters = given if champion is None else {**given, "champion": champion}
    command = write_settings(serve, ground, adapters, out=serve.folder)
    finder.cache.pin()  # what the config file names, since vLLM may be started again
    sys.stdout.write(f"{'VLLM_API_KEY=$' + KEY + ' ' if key else ''}{command}\n")
    sys.stdout.flush()
    names = VllmNames(f"http://{shown_host(serve.host)}:{serve.port}", key, ground)
    follower = make_follower(serve, names, finder)
    if follower is None:
        sys.stderr.write(
            f"serve.registered={serve.registered or 'null'} has no aliases to follow\n"
        )
        return
    sys.stderr.write("following the registry (Ctrl-C ends it; vLLM goes on)\n")
    try:
        follower.start()
        while True:
            time.sleep(serve.poll_seconds)
    finally:
        follower.close()


if __name__ == "__main__":
    main()
