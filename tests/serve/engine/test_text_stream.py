"""Text as it comes: never half a character, never a stop, no spaces around."""

from pathlib import Path

import pytest
from transformers import AutoTokenizer

from loraflow.model.tokenizer import Tokenizer
from loraflow.serve.engine.text import TextStream

TEXTS = ["家父是大理寺少卿甄远道。", "  spaces  between   ", "a😀b🏳️‍🌈 c", "\n\nnew\nlines\n"]


@pytest.fixture(scope="module")
def tokenizer(tiny_folder: Path) -> Tokenizer:
    return AutoTokenizer.from_pretrained(tiny_folder)


def pieces(stream: TextStream, tokens: list[int]) -> list[str]:
    found = []
    for token in tokens:
        found.append(stream.add(token))
        if stream.stopped:
            break
    return [*found, stream.end()]


@pytest.mark.parametrize("text", TEXTS)
def test_pieces_joined_are_the_text(tokenizer: Tokenizer, text: str) -> None:
    tokens = tokenizer(text)["input_ids"]
    found = pieces(TextStream(tokenizer, ()), tokens)
    assert "".join(found) == text.strip()
    assert not any("\ufffd" in piece for piece in found)


def test_an_end_in_the_middle_of_a_character_is_shown_as_decode_shows_it(
    tokenizer: Tokenizer,
) -> None:
    tokens = tokenizer("卿𠮷")["input_ids"][:-1]
    assert "".join(pieces(TextStream(tokenizer, ()), tokens)) == tokenizer.decode(tokens)


@pytest.mark.parametrize("stop", ["少卿", "理寺少", "。", "无"])
def test_a_stop_ends_the_text_and_is_not_shown(tokenizer: Tokenizer, stop: str) -> None:
    text = TEXTS[0]
    stream = TextStream(tokenizer, (stop,))
    found = "".join(pieces(stream, tokenizer(text)["input_ids"]))
    assert found == text.partition(stop)[0]
    assert stream.stopped == (stop in text)
