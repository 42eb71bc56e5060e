"""A DistilBERT of a few thousand weights: it classifies, and writes no answers."""

from pathlib import Path
from string import ascii_lowercase

import torch
from transformers import BertTokenizerFast, DistilBertConfig, DistilBertForMaskedLM

from loraflow.config import QuantizationConfig
from loraflow.model.source import BaseModel

_MARKS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
_WORDS = [*_MARKS, "good", "bad", "film", *ascii_lowercase, *"好坏看难"]


def make_encoder(folder: Path) -> BaseModel:
    """Write a random DistilBERT of 2 layers, with a vocabulary of words, into a new folder."""
    folder.mkdir()
    _write(folder)
    plain = QuantizationConfig("none", False, "float32")
    return BaseModel("tiny encoder", folder, "0", False, plain)


def _write(folder: Path) -> None:
    words = folder / "vocab.txt"
    words.write_text("\n".join([*_WORDS, *(f"##{letter}" for letter in ascii_lowercase)]))
    tokenizer = BertTokenizerFast(str(words))
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = DistilBertConfig(
        vocab_size=len(tokenizer),
        dim=64,
        hidden_dim=128,
        n_layers=2,
        n_heads=4,
        max_position_embeddings=64,
    )
    DistilBertForMaskedLM(config).save_pretrained(folder)
