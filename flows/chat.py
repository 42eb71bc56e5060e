"""A conversation in the terminal: with the champion, a run, or the base and the tuned side by side.

python -m flows.chat
python -m flows.chat chat.adapter=run:ID chat.beside=base
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic.dataclasses import dataclass as checked

from flows.command import run_safely
from flows.console import speak_plainly
from flows.used_command import Used, read_used, used_words
from loraflow.config import ChatConfig
from loraflow.config.values import STRICT

if TYPE_CHECKING:
    from loraflow.serve.chat.session import Session
    from loraflow.serve.engine.engine import Engine


@checked(frozen=True, config=STRICT)
class Sections:
    """What a chat has beside the experiment's own sections."""

    chat: ChatConfig


@dataclass(frozen=True)
class _Opened:
    engine: "Engine"
    session: "Session"


def main() -> None:
    """Read the command line, load the model, talk until the user leaves."""
    speak_plainly()
    run_safely(_run)


def _run() -> None:
    words = used_words("chat")
    if words is None:
        return
    used = read_used("chat", Sections, words)
    opened = _open(used)
    try:
        for line in _lines(opened.session, used.sections.chat.folder / "chat_history"):
            if not opened.session.take(line):
                break
    finally:
        opened.engine.close()


def _open(used: Used[Sections]) -> _Opened:
    """Find the adapter, load its base, and sit down."""
    from rich.console import Console

    from loraflow.model.source import find_base
    from loraflow.serve.adapters.find import AdapterFinder
    from loraflow.serve.chat.screen import Screen
    from loraflow.serve.chat.session import Session
    from loraflow.serve.engine.engine import Engine
    from loraflow.serve.names.names import Names

    chat = used.sections.chat
    finder = AdapterFinder(
        used.config.tracking,
        registered=chat.registered,
        key="chat.registered",
        cache=chat.folder / "adapters",
    )
    adapter = finder.find(chat.adapter)
    config = used.config_of(adapter)
    base = find_base(config.model, config.quantization)
    if adapter.is_whole_model and adapter.folder is not None:
        base = replace(base, folder=adapter.folder / "model")
        chat = replace(chat, adapter="base")
    engine = Engine(base, answers_at_once=2, queue=2)
    screen = Screen(Console(soft_wrap=True))
    session = Session(engine, Names(engine, config.template), finder, screen, chat)
    screen.note(f"{config.model.name}, {adapter.source} ({adapter.short}); /help, /quit")
    return _Opened(engine, session)


def _lines(session: "Session", history: Path) -> Iterator[str]:
    """Yield what is typed, or piped in; Ctrl-D, or Ctrl-C at the prompt, ends it."""
    if not sys.stdin.isatty():
        yield from sys.stdin
        return
    import readline

    history.parent.mkdir(parents=True, exist_ok=True)
    if history.is_file():
        readline.read_history_file(history)
    try:
        while True:
            yield input(session.prompt)
    except (EOFError, KeyboardInterrupt):
        sys.stdout.write("\n")
    finally:
        readline.write_history_file(history)


if __name__ == "__main__":
    main()
