"""Loads the base model's tokenizer and makes sure that it can pad, and end an answer."""

from typing import Any

from transformers import AutoTokenizer

from loraflow.errors import UserError
from loraflow.files import read_json
from loraflow.model.source import BaseModel

Tokenizer = Any  # transformers' PreTrainedTokenizerBase, which comes without types


def load_tokenizer(base: BaseModel) -> Tokenizer:
    """Return the tokenizer, padding with EOS where the model names no padding token.

    Padding is never learned nor attended to: labels and attention masks say where it is.

    Raises:
        UserError: if the tokenizer has neither.
    """
    tokenizer = AutoTokenizer.from_pretrained(base.folder, trust_remote_code=base.trust_remote_code)
    if tokenizer.pad_token_id is None:
        _require_eos(tokenizer, base)
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def stop_tokens(base: BaseModel, tokenizer: Tokenizer) -> list[int]:
    """Return the ids that end an answer: EOS and what generation_config.json adds to it.

    Raises:
        UserError: if the tokenizer has no EOS token, as those of encoders: no answer would end.
    """
    _require_eos(tokenizer, base)
    path = base.folder / "generation_config.json"
    named = read_json(path).get("eos_token_id") if path.is_file() else None
    more = named if isinstance(named, list) else [named]
    return sorted({tokenizer.eos_token_id, *(token for token in more if token is not None)})


def _require_eos(tokenizer: Tokenizer, base: BaseModel) -> None:
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"the tokenizer in {base.folder} has no EOS token, so no answer would end; "
            "set eos_token in its tokenizer_config.json, or choose another model"
        )
