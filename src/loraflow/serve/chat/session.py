"""Reads what the user types, and does it: words are for the model, /words for the chat."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from loraflow.config import ChatConfig
from loraflow.errors import UserError, nearest
from loraflow.files import write_lines
from loraflow.serve.adapters.find import AdapterFinder
from loraflow.serve.chat.partner import Partner, Room
from loraflow.serve.chat.screen import Screen
from loraflow.serve.engine.engine import Engine
from loraflow.serve.names.names import Names

HELP = """/adapter NAME   talk to champion, challenger, previous, version:N, run:ID, a folder, base
/beside NAME    a second one that answers beside it; /beside alone ends that
/system TEXT    begin anew under a system message; /system alone: under none
/clear          begin anew
/save FILE      write the conversation as a line of data (messages), to train on
/quit           end; so does Ctrl-D. Ctrl-C stops an answer"""


class Session:
    """One sitting."""

    def __init__(
        self, engine: Engine, names: Names, finder: AdapterFinder, screen: Screen, first: ChatConfig
    ) -> None:
        """Talk to what `first` names."""
        self._engine, self._names, self._finder = engine, names, finder
        self._screen = screen
        self._settings = first
        self._partners: list[Partner] = []
        self._meet(first.adapter, first.beside)

    @property
    def prompt(self) -> str:
        """Return what the user types behind."""
        return f"{' | '.join(partner.name for partner in self._partners)} > "

    def take(self, line: str) -> bool:
        """Do what a line says; tell whether the sitting goes on."""
        word, _, rest = line.strip().partition(" ")
        if not word:
            return True
        if word in ("/quit", "/exit"):
            return False
        try:
            self._command(word, rest.strip()) if word.startswith("/") else self._talk(line.strip())
        except UserError as error:
            self._screen.note(str(error))
        return True

    def _command(self, word: str, rest: str) -> None:
        commands: Mapping[str, Callable[[str], None]] = {
            "/adapter": self._adapter,
            "/beside": lambda name: self._meet(self._partners[0].name, name or None),
            "/system": self._system,
            "/clear": lambda _: self._clear(),
            "/save": self._save,
            "/help": lambda _: self._screen.note(HELP),
        }
        if word not in commands:
            raise UserError(
                f"{word} is no command{nearest(word, list(commands))}; /help shows them all"
            )
        commands[word](rest)

    def _adapter(self, name: str) -> None:
        if not name:
            raise UserError("name an adapter: /adapter champion, run:ID, version:N, base or FOLDER")
        beside = self._partners[1].name if len(self._partners) > 1 else None
        self._meet(name, beside)

    def _meet(self, name: str, beside: str | None) -> None:
        """Talk to other partners; who was there before goes on with what was said to it."""
        known = {partner.name: partner for partner in self._partners}
        wanted = [name] if beside is None else [name, beside]
        for one in wanted:
            if one not in known:
                self._names.point(one, self._finder.find(one))
        self._partners = [known.get(one) or Partner(one) for one in wanted]

    def _system(self, text: str) -> None:
        self._settings = replace(self._settings, system=text or None)
        self._clear()

    def _clear(self) -> None:
        for partner in self._partners:
            partner.messages.clear()
        self._screen.note("a new conversation")

    def _save(self, name: str) -> None:
        if not name:
            raise UserError("name a file: /save conversations.jsonl")
        path = Path(name).expanduser()
        if path.exists():
            raise UserError(f"{path} is there already; name another file")
        told = [partner for partner in self._partners if partner.messages]
        rows = [{"adapter": one.name, "messages": one.messages} for one in told]
        try:
            write_lines(path, rows)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {error.strerror}") from error
        self._screen.note(f"saved {len(rows)} conversations to {path}")

    def _talk(self, text: str) -> None:
        for partner in self._partners:
            partner.hear(text)
        texts = [""] * len(self._partners)
        try:
            with Room(self._engine, self._names, self._settings).answers(self._partners) as pieces:
                for so_far in self._screen.show(self._partners, pieces):
                    texts = list(so_far)
        except KeyboardInterrupt:
            self._screen.note("\nstopped")
        finally:
            for partner, answer in zip(self._partners, texts, strict=True):
                partner.say(answer)
