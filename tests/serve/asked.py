"""Asks an engine, and waits for whole answers."""

import queue
from dataclasses import replace

from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.engine.engine import Engine, Ticket
from loraflow.serve.engine.wish import Piece, Wish

PATIENCE = 60  # seconds


class Asked:
    """An answer that arrives."""

    def __init__(self, engine: Engine, adapter: Adapter, wish: Wish) -> None:
        self.pieces: list[Piece] = []
        self._queue: queue.Queue[Piece] = queue.Queue()
        self.ticket: Ticket = engine.submit(adapter, wish, self._queue.put)

    def next(self) -> Piece:
        piece = self._queue.get(timeout=PATIENCE)
        self.pieces.append(piece)
        return piece

    def whole(self) -> Piece:
        """Wait for the end, and return the last piece with the whole text."""
        while not self.pieces or self.pieces[-1].finish is None:
            self.next()
        return replace(self.pieces[-1], text="".join(piece.text for piece in self.pieces))
