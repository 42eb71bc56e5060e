"""The names that clients use, and the adapter behind each right now.

A name is moved in one step, once its new adapter is loaded: whoever asked before is answered to the
end by the old one, whoever asks afterwards gets the new one.
"""

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from loraflow.config import TemplateConfig
from loraflow.data.records import Message
from loraflow.data.template import Template
from loraflow.errors import UserError, nearest
from loraflow.model.tokenizer import stop_tokens
from loraflow.serve.adapters.adapter import BASE, Adapter, require_base
from loraflow.serve.engine.engine import Engine

DEFAULT = "default"
_FIRST = "champion"  # what `default` means, where there is one


class UnknownName(UserError):
    """Nothing is served under this name."""


@dataclass(frozen=True)
class Named:
    """A name, and what it is now."""

    name: str
    adapter: Adapter


class Names:
    """Names of adapters that an engine has loaded."""

    def __init__(self, engine: Engine, template: TemplateConfig) -> None:
        """Serve the base alone, asked by `template`, until names are given."""
        self._engine = engine
        self._template = template  # of adapters whose training nobody knows
        self._adapters: dict[str, Adapter] = {BASE.source: BASE}
        self._used: Counter[str] = Counter()  # answers in the making, by digest
        self._loaded: set[str] = set()
        self._lock = threading.Lock()
        self._templates: dict[str, Template] = {}
        self.moves = 0  # of names, from one adapter to another

    def point(self, name: str, adapter: Adapter) -> None:
        """Have `name` mean `adapter`, which is loaded first.

        Raises:
            UserError: if it does not belong on the base that is served; the name stays as it was.
        """
        require_base(adapter, self._engine.base.revision)
        template = self._make_template(adapter)
        self._engine.load(adapter)
        with self._lock:
            before = self._adapters.get(name)
            self._loaded.add(adapter.digest)
            self._templates[adapter.digest] = template
            self._adapters[name] = adapter
            self.moves += before is not None and before.digest != adapter.digest

    def drop(self, name: str) -> None:
        """Have `name` mean nothing any more."""
        with self._lock:
            self._adapters.pop(name, None)

    def listed(self) -> list[Named]:
        """Return all names, and what they are now."""
        with self._lock:
            adapters = {DEFAULT: self._find(DEFAULT), **self._adapters}
        return [Named(name, adapter) for name, adapter in adapters.items()]

    @contextmanager
    def lease(self, name: str) -> Iterator[Adapter]:
        """Yield what a name is now; it stays loaded within the block.

        Raises:
            UnknownName: if nothing is served under it.
        """
        with self._lock:
            adapter = self._find(name)
            self._used[adapter.digest] += 1
        try:
            yield adapter
        finally:
            with self._lock:
                self._used[adapter.digest] -= 1

    def prompt_ids(self, adapter: Adapter, messages: Sequence[Message]) -> list[int]:
        """Return the tokens that ask for the answer to `messages`, as its training put them.

        Raises:
            UserError: if the template cannot show such a conversation.
        """
        template = self._templates.get(adapter.digest)
        if template is None:
            template = self._templates[adapter.digest] = self._make_template(adapter)
        return template.prompt_ids(messages)

    def tidy(self) -> None:
        """Unload adapters that no name means and no answer uses."""
        with self._lock:
            named = {adapter.digest for adapter in self._adapters.values()}
            unused = {
                digest for digest in self._loaded - named - {BASE.digest} if not self._used[digest]
            }
            self._loaded -= unused
            for digest in unused:
                self._templates.pop(digest, None)
        for digest in unused:
            self._engine.unload(digest)

    def _find(self, name: str) -> Adapter:
        """Return what a name is; the lock is held."""
        if name == DEFAULT:
            given = [known for known in self._adapters if known != BASE.source]
            name = _FIRST if _FIRST in given else next(iter(given), BASE.source)
        if name not in self._adapters:
            known = [DEFAULT, *self._adapters]
            raise UnknownName(
                f"model {name!r} is not served here{nearest(name, known)}; there are "
                f"{', '.join(known)}"
            )
        return self._adapters[name]

    def _make_template(self, adapter: Adapter) -> Template:
        tokenizer = self._engine.tokenizer
        return Template(
            adapter.template or self._template,
            tokenizer,
            stop_tokens(self._engine.base, tokenizer),
        )
