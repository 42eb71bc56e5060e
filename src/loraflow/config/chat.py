"""A conversation in the terminal."""

from pydantic.dataclasses import dataclass

from loraflow.config.serve import Temperature
from loraflow.config.values import STRICT, PositiveInt, Text, UserPath


@dataclass(frozen=True, config=STRICT)
class ChatConfig:
    """With whom, and how."""

    adapter: Text  # champion, version:N, run:ID, a folder, base
    beside: Text | None  # a second one
    registered: Text | None  # registered model whose champion it is; null: none
    system: Text | None
    max_tokens: PositiveInt  # of an answer
    temperature: Temperature
    folder: UserPath  # adapters that were fetched, and what was typed before
