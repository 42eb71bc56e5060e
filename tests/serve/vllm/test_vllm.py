"""What vLLM is told, as its documentation has it. No vLLM runs here: it wants a GPU."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from peft import LoraConfig

from loraflow.config import QuantizationConfig, TemplateConfig
from loraflow.data.records import Message
from loraflow.data.template import Template
from loraflow.errors import PassingError, UserError
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer
from loraflow.serve.vllm.fit import Ground
from loraflow.serve.vllm.names import VllmNames
from loraflow.serve.vllm.settings import write_settings
from tests.conftest import composed
from tests.data.odd_tokenizers import merging_tokenizer
from tests.serve.http.served import NATIVE, serve_config
from tests.serve.made_adapters import adapter_in, make_adapter
from tests.serve.vllm.heard import LOAD, NO_ROUTE, Heard, vllm

pytestmark = pytest.mark.filterwarnings("ignore")

ALPACA = composed("template=alpaca").template
THINKING = (  # as Qwen3, which thinks aloud unless it is told not to
    "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + eos_token }}{% endfor %}"
    "{% if enable_thinking is defined and enable_thinking is false %}{{ '<think></think>' }}"
    "{% endif %}"
)


@pytest.fixture
def heard() -> Iterator[Heard]:
    with vllm() as server:
        yield server


@pytest.fixture
def ground(tiny_base: BaseModel) -> Ground:
    return Ground(tiny_base, NATIVE)


def test_the_config_has_the_base_and_the_adapters(tiny_folder: Path, tmp_path: Path) -> None:
    base = BaseModel("tiny", tiny_folder, "0", False, QuantizationConfig("nf4", True, "float32"))
    adapter = adapter_in(
        make_adapter(base, tmp_path / "a", 1, LoraConfig(r=96, target_modules=["q_proj"]))
    )
    out = tmp_path / "vllm"
    command = write_settings(serve_config(), Ground(base, NATIVE), {"champion": adapter}, out=out)
    settings = json.loads((out / "config.json").read_text())
    assert command.endswith(f"vllm serve --config {out / 'config.json'}")
    assert settings["model"] == str(tiny_folder)
    assert settings["quantization"] == "bitsandbytes"
    assert settings["max-lora-rank"] == 128  # the next that vLLM has kernels for
    assert settings["max-loras"] == 4  # all aliases, and one that comes
    assert json.loads(settings["lora-modules"][0]) == {
        "name": "champion", "path": str(tmp_path / "a"),
    }  # fmt: skip
    assert settings["chat-template"] == str(out / "chat_template.jinja")


def thinking_tokenizer(base: BaseModel) -> Tokenizer:
    tokenizer = load_tokenizer(base)
    tokenizer.chat_template = THINKING
    return tokenizer


@pytest.mark.parametrize("template", [NATIVE, ALPACA])
@pytest.mark.parametrize("kind", ["plain", "thinking", "with BOS"])
def test_vllm_asks_with_the_tokens_of_the_training(
    kind: str, template: TemplateConfig, tiny_folder: Path, tiny_base: BaseModel, tmp_path: Path
) -> None:
    makers = {"plain": load_tokenizer, "thinking": thinking_tokenizer}
    tokenizer = makers[kind](tiny_base) if kind in makers else merging_tokenizer()
    base = replace(tiny_base, folder=tmp_path / "base")
    tokenizer.save_pretrained(base.folder)
    write_settings(serve_config(), Ground(base, template), {}, out=tmp_path)
    written = (tmp_path / "chat_template.jinja").read_text(encoding="utf-8")
    question: list[Message] = [{"role": "user", "content": "你是谁？"}]
    asked = load_tokenizer(base).apply_chat_template(  # as vLLM does: no special tokens are added
        question, chat_template=written, add_generation_prompt=True, return_dict=True
    )
    trained = Template(template, tokenizer, [tokenizer.eos_token_id]).prompt_ids(question)
    assert asked["input_ids"] == trained
    assert ("<think></think>" in tokenizer.decode(trained)) == (
        kind == "thinking" and template is NATIVE
    )


def test_what_vllm_does_not_serve_as_it_was_trained_is_refused_at_the_start_and_later(
    heard: Heard, ground: Ground, tiny_base: BaseModel, tmp_path: Path
) -> None:
    plain = adapter_in(make_adapter(tiny_base, tmp_path / "plain", 1))
    dora = LoraConfig(r=2, target_modules=["q_proj"], use_dora=True)
    pissa = LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights="pissa")
    alpaca = {"template": {"name": "alpaca", "chat_template": ALPACA.chat_template}}
    refused = {
        "more than a plain LoRA, which vLLM": adapter_in(
            make_adapter(tiny_base, tmp_path / "dora", 1, dora)
        ),
        "more than a plain": adapter_in(make_adapter(tiny_base, tmp_path / "pissa", 1, pissa)),
        "trained on another base": replace(plain, base_revision="another"),
        "trained with template=alpaca.*which is template=native here": replace(
            plain, settings=alpaca
        ),
        "is no adapter": replace(plain, folder=None),
    }
    for words, adapter in refused.items():
        with pytest.raises(UserError, match=words):
            write_settings(serve_config(), ground, {"mine": adapter}, out=tmp_path / "vllm")
        with pytest.raises(UserError, match=words):
            VllmNames(heard.url, None, ground).point("champion", adapter)
    assert heard.told == [] and not (tmp_path / "vllm").exists()


def test_a_restart_of_vllm_brings_back_neither_old_adapters_nor_names_that_are_gone(
    heard: Heard, ground: Ground, tiny_base: BaseModel, tmp_path: Path
) -> None:
    old, new = (adapter_in(make_adapter(tiny_base, tmp_path / str(seed), seed)) for seed in (1, 2))
    names = VllmNames(heard.url, None, ground)
    for name, adapter in {"champion": old, "previous": old}.items():
        names.point(name, adapter)
    names.point("champion", new)
    body = {"lora_name": "champion", "lora_path": str(tmp_path / "2"), "load_inplace": True}
    assert heard.told[-1] == (LOAD, body)
    names.tidy()
    assert len(heard.told) == 3  # nothing to put right
    wanted = {"base": "/models/tiny", "champion": str(tmp_path / "2")}
    names.drop("previous")
    names.tidy()
    assert heard.roots == wanted
    stale = str(tmp_path / "1")
    heard.restart(champion=stale, previous=stale, mine="given")
    names.tidy()
    assert heard.roots == {**wanted, "mine": "given"}
    heard.restart()
    names.tidy()
    assert heard.roots == wanted


def test_a_vllm_that_is_away_or_broken_is_asked_again_and_one_that_refuses_is_not(
    heard: Heard, ground: Ground, tiny_base: BaseModel, tmp_path: Path
) -> None:
    adapter = adapter_in(make_adapter(tiny_base, tmp_path / "a", 1))
    names = VllmNames(heard.url, None, ground)
    heard.status, heard.says = 404, NO_ROUTE
    with pytest.raises(UserError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
        names.point("champion", adapter)
    heard.says = {"error": {"message": "Loading lora champion failed: No adapter found for /a"}}
    for status, fault in {404: UserError, 400: UserError, 500: PassingError}.items():
        heard.status = status
        with pytest.raises(UserError, match=r"vLLM refuses champion: .*No adapter found") as raised:
            names.point("champion", adapter)
        assert type(raised.value) is fault
    with pytest.raises(PassingError, match="vLLM does not list its models"):
        names.tidy()
    away = VllmNames("http://127.0.0.1:9", None, ground)
    with pytest.raises(PassingError, match="vLLM does not answer"):
        away.point("champion", adapter)
    with pytest.raises(PassingError, match="vLLM does not answer"):
        away.tidy()


def test_one_name_that_vllm_refuses_keeps_no_other_from_being_put_right(
    heard: Heard, ground: Ground, tiny_base: BaseModel, tmp_path: Path
) -> None:
    names = VllmNames(heard.url, None, ground)
    for seed, name in enumerate(["champion", "previous"]):
        names.point(name, adapter_in(make_adapter(tiny_base, tmp_path / name, seed)))
    heard.restart()
    heard.refuses = "champion"
    with pytest.raises(UserError, match="vLLM refuses champion"):
        names.tidy()
    assert heard.roots == {"base": "/models/tiny", "previous": str(tmp_path / "previous")}
