"""A base model of a few thousand weights and a config to match: real files, made in a second."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"  # before any library of Hugging Face is imported
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["DO_NOT_TRACK"] = "1"
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait would slow all others
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # as of any command that a shell starts in the background; what tests start would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest
import torch
from hydra import compose, initialize_config_dir
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from flows.command import CONF, to_settings
from loraflow.check import load_config
from loraflow.config import Config, QuantizationConfig
from loraflow.model.source import BaseModel

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
TEXTS = [
    "Return the name of the file. Write the summary line of the docstring of this Python object.",
    "def class self path key value Assistant: User: ### Instruction: ### Response:",
    "家父是大理寺少卿甄远道。你是谁？[MEDICAL] 问题：回答：",
]


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Llama of 2 layers with a byte-level tokenizer that knows a chat template."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = _train_tokenizer()
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=1024,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def _train_tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        chat_template=CHAT_TEMPLATE,
    )


@pytest.fixture
def tiny_base(tiny_folder: Path) -> BaseModel:
    """The tiny model, held in float32."""
    return BaseModel("tiny", tiny_folder, "0", False, QuantizationConfig("none", False, "float32"))


@pytest.fixture
def tiny_nf4_base(tiny_folder: Path) -> BaseModel:
    """The tiny model, held in 4 bits."""
    return BaseModel("tiny", tiny_folder, "0", False, QuantizationConfig("nf4", True, "float32"))


def composed(*overrides: str) -> Config:
    """Return the config that a command line with these overrides gives."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return load_config(to_settings(compose("config", overrides=list(overrides))))


@pytest.fixture
def tiny_overrides(tiny_folder: Path, tmp_path: Path) -> Iterator[list[str]]:
    """Overrides for a whole experiment on the tiny model, all of it below `tmp_path`."""
    yield [
        "model=folder",
        f"model.location={tiny_folder}",
        f"model.cache={tmp_path / 'models'}",
        f"store={tmp_path / 'store'}",
        f"tracking.uri=sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}",
        f"tracking.artifacts={tmp_path / 'mlruns' / 'artifacts'}",
        "train=smoke",
        "data.train_rows=64",
        "data.split.held_out_rows=8",
        "evaluate.max_new_tokens=4",
    ]
