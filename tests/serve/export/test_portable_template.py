"""A tokenizer that is exported asks, by itself, with the tokens of the training."""

from pathlib import Path

import pytest
from omegaconf import OmegaConf
from pydantic import TypeAdapter
from transformers import AutoTokenizer

from flows.command import CONF
from loraflow.config import TemplateConfig
from loraflow.data.records import Message
from loraflow.data.template import Template
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer
from tests.data.odd_tokenizers import merging_tokenizer, unigram_tokenizer

NAMES = sorted(path.stem for path in (CONF / "template").glob("*.yaml"))
TURNS: list[Message] = [
    {"role": "system", "content": "你是甄嬛。"},
    {"role": "user", "content": "你是谁？"},
    {"role": "assistant", "content": "家父是大理寺少卿甄远道。"},
    {"role": "user", "content": " What is the name of the file?\n"},
]
CONVERSATIONS = {"one": TURNS[1:2], "system": TURNS[:2], "turns": TURNS}
DATED = (  # as Llama 3 and Qwen3: a date, and whether it thinks
    "\n{%- if strftime_now is defined %}{%- set date = strftime_now('%d %b %Y') %}{%- endif %}"
    "{%- if not date_string is defined %}{%- set date_string = date %}{%- endif %}"
    "{{ bos_token }}{{ date_string }}{{ date }}"
    "{% for m in messages %}{{ '<' + m['role'] + '>' + m['content'] + eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<assistant>' }}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think></think>' }}"
    "{% endif %}{% endif %}"
)


def template(name: str) -> TemplateConfig:
    loaded = OmegaConf.to_container(OmegaConf.load(CONF / "template" / f"{name}.yaml"))
    return TypeAdapter(TemplateConfig).validate_python(loaded)


def plain_ids(folder: Path, messages: list[Message]) -> list[int]:
    """What transformers alone makes of them."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    found = tokenizer.apply_chat_template(
        [dict(part) for part in messages], add_generation_prompt=True, return_dict=True
    )
    ids: list[int] = found["input_ids"]
    return ids


def save(tokenizer: Tokenizer, text: str, folder: Path) -> Path:
    tokenizer.chat_template = text
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("conversation", CONVERSATIONS)
@pytest.mark.parametrize("name", NAMES)
def test_plain_transformers_has_the_tokens_of_the_training(
    name: str, conversation: str, tiny_base: BaseModel, tmp_path: Path
) -> None:
    tokenizer = load_tokenizer(tiny_base)
    bound = Template(template(name), tokenizer, [tokenizer.eos_token_id])
    messages = CONVERSATIONS[conversation]
    expected, text = bound.prompt_ids(messages), bound.portable()
    assert plain_ids(save(tokenizer, text, tmp_path), messages) == expected


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("make", [merging_tokenizer, unigram_tokenizer])
def test_single_questions_are_exact_with_any_tokenizer(
    make: "type[Tokenizer]", name: str, tmp_path: Path
) -> None:
    tokenizer = make()
    bound = Template(template(name), tokenizer, [tokenizer.eos_token_id])
    for messages in (CONVERSATIONS["one"], CONVERSATIONS["system"]):
        expected = bound.prompt_ids(messages)
        assert plain_ids(save(make(), bound.portable(), tmp_path), messages) == expected


def test_date_and_thinking_are_those_of_the_training(tiny_base: BaseModel, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_base)
    tokenizer.chat_template = DATED
    bound = Template(TemplateConfig("native", None), tokenizer, [tokenizer.eos_token_id])
    expected = bound.prompt_ids(TURNS)
    assert "26 Jul 2024" in tokenizer.decode(expected)
    assert "<think></think>" in tokenizer.decode(expected)
    assert plain_ids(save(tokenizer, bound.portable(), tmp_path), TURNS) == expected


def test_a_native_template_that_decides_nothing_stays_as_it_is(tiny_base: BaseModel) -> None:
    tokenizer = load_tokenizer(tiny_base)
    bound = Template(TemplateConfig("native", None), tokenizer, [tokenizer.eos_token_id])
    assert bound.portable() == tokenizer.chat_template
