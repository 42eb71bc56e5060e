"""A reason is short and holds no secret."""

import pytest

from loraflow.errors import UserError
from loraflow.tracking.reason import reason_of


def test_reason_has_at_most_500_characters() -> None:
    assert len(reason_of(ValueError("x" * 5000))) == 500


def test_error_without_words_is_named() -> None:
    assert reason_of(MemoryError()) == "MemoryError"


def test_value_of_a_secret_variable_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_API_KEY", "plain-looking-words")
    assert reason_of(UserError("refused: plain-looking-words")) == "refused: ***"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("postgresql://me:secret@host/db fails", "postgresql://***@host/db fails"),
        ("header Authorization: Bearer abc.def", "header Authorization: Bearer ***"),
        ("GET /v1?api_key=abcdef&n=1", "GET /v1?api_key=***&n=1"),
        ("key sk-abcdefghijkl is wrong", "key *** is wrong"),
        ("judge.api.key_env=OPENAI_API_KEY: not set", "judge.api.key_env=OPENAI_API_KEY: not set"),
        ("data.path=https://host/a.json", "data.path=https://host/a.json"),
    ],
)
def test_what_looks_like_a_secret_is_masked(text: str, masked: str) -> None:
    assert reason_of(UserError(text)) == masked
