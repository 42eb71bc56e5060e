"""Answers of many adapters, written side by side, are those that each would write alone."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, PromptTuningConfig
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
)

from loraflow.config import QuantizationConfig
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.serve.adapters.adapter import BASE, Adapter
from loraflow.serve.engine.engine import Engine, QueueFull, Stopped
from loraflow.serve.engine.forward import context_of
from loraflow.serve.engine.wish import Piece, Wish
from tests.serve.asked import Asked
from tests.serve.made_adapters import adapter_in, make_adapter

pytestmark = pytest.mark.filterwarnings("ignore")

CONFIGS: dict[str, Any] = {
    "small": LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
    "wide": LoraConfig(r=8, target_modules="all-linear", lora_alpha=4),
    "rslora": LoraConfig(r=4, target_modules=["k_proj", "down_proj"], use_rslora=True),
    "dora": LoraConfig(r=2, target_modules=["q_proj"], use_dora=True),
    "pissa": LoraConfig(r=2, target_modules=["o_proj"], init_lora_weights="pissa"),
    "head": LoraConfig(r=2, target_modules=["q_proj", "lm_head"], init_lora_weights=False),
    "ia3": IA3Config(target_modules=["k_proj", "down_proj"], feedforward_modules=["down_proj"]),
}
PROMPTS = ["你是谁？", "Return the name of the file.", "a", "家父是大理寺少卿甄远道。" * 9]


@pytest.fixture(scope="module")
def base(tiny_folder: Path) -> BaseModel:
    return BaseModel("tiny", tiny_folder, "0", False, QuantizationConfig("none", False, "float32"))


@pytest.fixture(scope="module")
def adapters(base: BaseModel, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Adapter]:
    folder = tmp_path_factory.mktemp("adapters")
    made = {
        name: adapter_in(make_adapter(base, folder / name, seed, config))
        for seed, (name, config) in enumerate(CONFIGS.items())
    }
    return {"base": BASE, **made}


@pytest.fixture(scope="module")
def engine(base: BaseModel, adapters: dict[str, Adapter]) -> Iterator[Engine]:
    engine = Engine(base, answers_at_once=64, queue=64)
    for adapter in adapters.values():
        engine.load(adapter)
    yield engine
    engine.close()


def alone(base: BaseModel, adapter: Adapter, prompt: list[int], tokens: int) -> list[int]:
    """Return what transformers and PEFT write by themselves."""
    model: Any = AutoModelForCausalLM.from_pretrained(base.folder)
    if adapter.folder is not None:
        model = PeftModel.from_pretrained(model, adapter.folder)
    model.eval()
    model.generation_config = GenerationConfig()
    output = model.generate(
        input_ids=torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=tokens,
        do_sample=False,
        pad_token_id=0,
        eos_token_id=model.config.eos_token_id,
    )
    written: list[int] = output[0, len(prompt) :].tolist()
    return written


def wish(engine: Engine, text: str, tokens: int = 12, **how: Any) -> Wish:
    return Wish(engine.tokenizer(text)["input_ids"], tokens, **how)


def text_of(engine: Engine, tokens: list[int]) -> str:
    text: str = engine.tokenizer.decode(tokens, skip_special_tokens=True)
    return text.strip()


def test_adapters_of_all_kinds_answer_together_as_each_would_alone(
    engine: Engine, base: BaseModel, adapters: dict[str, Adapter]
) -> None:
    wanted = [(adapter, wish(engine, text)) for adapter in adapters.values() for text in PROMPTS]
    asked = [Asked(engine, adapter, one) for adapter, one in wanted]
    answers = [one.whole() for one in asked]
    expected = [alone(base, adapter, one.prompt, one.max_tokens) for adapter, one in wanted]
    assert [answer.text for answer in answers] == [text_of(engine, tokens) for tokens in expected]
    assert [answer.tokens for answer in answers] == [len(tokens) for tokens in expected]
    assert len({answer.text for answer in answers}) > len(adapters)


def test_a_prompt_longer_than_a_pass_is_read_in_parts(
    engine: Engine, base: BaseModel, adapters: dict[str, Adapter]
) -> None:
    long = wish(engine, "甄嬛 key value path " * 60)
    assert len(long.prompt) > 600
    short = [Asked(engine, adapters["wide"], wish(engine, text)) for text in PROMPTS]
    answer = Asked(engine, adapters["small"], long).whole()
    assert answer.text == text_of(engine, alone(base, adapters["small"], long.prompt, 12))
    for one in short:
        one.whole()


def test_a_conversation_that_goes_on_is_answered_as_if_it_were_read_anew(
    engine: Engine, base: BaseModel, adapters: dict[str, Adapter]
) -> None:
    first = wish(engine, "问题：" * 20)
    Asked(engine, adapters["wide"], first).whole()
    engine.load(adapters["wide"])  # is there; so the pass that ended the answer is over
    second = Wish([*first.prompt, 5, 6, 7, 8], 12)
    remembered = engine._passes._remembered
    before = remembered.begin(adapters["wide"].digest, second.prompt, 200)
    assert before is not None and before.length == len(first.prompt)
    answer = Asked(engine, adapters["wide"], second).whole()
    assert answer.text == text_of(engine, alone(base, adapters["wide"], second.prompt, 12))
    assert remembered.begin(adapters["small"].digest, second.prompt, 200) is None


def test_a_seed_decides_what_is_drawn_whatever_is_drawn_beside_it(
    engine: Engine, adapters: dict[str, Adapter]
) -> None:
    drawn = wish(engine, "a", 20, temperature=1.5, seed=3)
    other = wish(engine, "a", 20, temperature=1.5, seed=4)
    first = Asked(engine, BASE, drawn).whole().text
    together = [Asked(engine, BASE, one) for one in (other, drawn, other)]
    texts = [one.whole().text for one in together]
    assert texts[1] == first and texts[0] == texts[2] != first
    narrow = wish(engine, "a", 20, temperature=1.5, top_p=1e-6, seed=9)
    assert Asked(engine, BASE, narrow).whole().text == (
        Asked(engine, BASE, wish(engine, "a", 20)).whole().text
    )


def test_an_answer_ends_before_a_text_that_ends_it(engine: Engine) -> None:
    whole = Asked(engine, BASE, wish(engine, PROMPTS[1], 24)).whole().text
    stop = whole[5:8]
    asked = Asked(engine, BASE, wish(engine, PROMPTS[1], 24, stop=(stop, "\x00")))
    answer = asked.whole()
    assert answer.finish == "stop"
    assert answer.text == whole[: whole.index(stop)].rstrip()


def test_a_cancelled_answer_ends_and_the_others_go_on(engine: Engine) -> None:
    asked = [Asked(engine, BASE, wish(engine, "a", 400)) for _ in range(3)]
    asked[1].next()
    asked[1].ticket.cancel()
    assert asked[1].whole().finish == "cancelled"
    assert asked[1].pieces[-1].tokens < 400
    assert asked[0].whole().finish in ("stop", "length")
    asked[1].ticket.cancel()  # again, and too late: nothing happens


def test_more_than_may_wait_are_refused_and_the_background_comes_last(base: BaseModel) -> None:
    engine = Engine(base, answers_at_once=1, queue=2)
    first = Asked(engine, BASE, wish(engine, "a", 200))
    first.next()  # it has the only place
    behind = Asked(engine, BASE, wish(engine, "a", 2, background=True))
    before = Asked(engine, BASE, wish(engine, "b", 2))
    assert engine.counts() == (1, 2)
    with pytest.raises(QueueFull, match="2 requests wait already"):
        engine.submit(BASE, wish(engine, "c"), lambda _: None)
    first.ticket.cancel()
    before.whole()
    assert not behind.pieces
    behind.whole()
    engine.close()
    with pytest.raises(Stopped):
        engine.submit(BASE, wish(engine, "c"), lambda _: None)


def test_nobody_is_refused_while_there_are_places(base: BaseModel) -> None:
    engine = Engine(base, answers_at_once=8, queue=1)
    held, go_on = threading.Event(), threading.Event()

    def hold(piece: Piece) -> None:
        held.set()
        go_on.wait(60)

    engine.submit(BASE, wish(engine, "a", 4), hold)
    assert held.wait(60)  # nobody is seated until the pass is over
    asked = [Asked(engine, BASE, wish(engine, "b", 2)) for _ in range(8)]
    with pytest.raises(QueueFull):
        engine.submit(BASE, wish(engine, "c", 2), lambda _: None)
    go_on.set()
    assert all(one.whole().finish for one in asked)
    engine.close()


def test_longrope_keeps_all_answers_to_one_set_of_frequencies() -> None:
    rope = {
        "rope_type": "longrope", "rope_theta": 10000.0, "original_max_position_embeddings": 4096,
        "short_factor": [1.0] * 4, "long_factor": [2.0] * 4,
    }  # fmt: skip
    sizes = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 1}
    config = Phi3Config(
        **sizes, vocab_size=64, pad_token_id=0, max_position_embeddings=131072,
        original_max_position_embeddings=4096, rope_parameters=rope,
    )  # fmt: skip
    assert context_of(Phi3ForCausalLM(config)) == 4096
    plain = LlamaConfig(**sizes, vocab_size=64, max_position_embeddings=512)
    assert context_of(LlamaForCausalLM(plain)) == 512


def test_closing_leaves_nobody_waiting(base: BaseModel) -> None:
    engine = Engine(base, answers_at_once=1, queue=4)
    asked = [Asked(engine, BASE, wish(engine, "a", 900)) for _ in range(3)]
    engine.close()
    assert [one.whole().finish for one in asked] == ["cancelled"] * 3


def test_adapters_come_and_go_while_others_answer(
    base: BaseModel, adapters: dict[str, Adapter]
) -> None:
    engine = Engine(base, answers_at_once=4, queue=4)
    engine.load(adapters["small"])
    expected = text_of(engine, alone(base, adapters["small"], wish(engine, "b").prompt, 60))
    for name in ["wide", "rslora", "dora", "wide"]:
        asked = Asked(engine, adapters["small"], wish(engine, "b", 60))
        engine.load(adapters[name])
        engine.unload(adapters[name].digest)
        assert asked.whole().text == expected
    engine.close()


def test_what_cannot_be_served_is_refused_with_the_reason(
    engine: Engine, base: BaseModel, tmp_path: Path
) -> None:
    other = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=99, hidden_size=32, intermediate_size=8, num_hidden_layers=1,
            num_attention_heads=2,
        )
    )  # fmt: skip
    other.save_pretrained(tmp_path / "other")
    foreign = BaseModel("other", tmp_path / "other", "1", False, base.quantization)
    odd = adapter_in(make_adapter(foreign, tmp_path / "foreign", 1))
    with pytest.raises(UserError, match="trained on another model than is served"):
        engine.load(odd)
    prompt = PromptTuningConfig(num_virtual_tokens=4, task_type="CAUSAL_LM")
    with pytest.raises(UserError, match="PROMPT_TUNING, which puts vectors before the text"):
        engine.load(adapter_in(make_adapter(base, tmp_path / "prompt", 1, prompt)))
    whole = tmp_path / "whole" / "model"
    AutoModelForCausalLM.from_pretrained(base.folder).save_pretrained(whole)
    with pytest.raises(UserError, match="a whole model, not an adapter"):
        engine.load(adapter_in(whole.parent))
    broken = make_adapter(base, tmp_path / "broken", 1)
    (broken / "adapter_model.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(UserError, match=r"adapter_model\.safetensors cannot be read"):
        engine.load(adapter_in(broken))


def test_a_pass_that_fails_ends_its_answers_and_no_others(
    base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(base, answers_at_once=2, queue=2)
    run = engine._passes.bodies._mixing.run

    def out_of_memory(*_: Any) -> Any:
        raise RuntimeError("out of memory")

    mixing = engine._passes.bodies._mixing
    monkeypatch.setattr(mixing, "run", out_of_memory)
    assert Asked(engine, BASE, wish(engine, "a")).whole().finish == "failed"
    monkeypatch.setattr(
        engine._passes.bodies._mixing, "run", lambda *parts: run(*parts) * float("nan")
    )
    for temperature in (0.0, 1.0):
        chosen = wish(engine, "a", temperature=temperature)
        assert Asked(engine, BASE, chosen).whole().finish == "failed"
    monkeypatch.setattr(mixing, "run", run)
    extreme = wish(engine, "a", temperature=1e-300, top_p=1e-320)
    assert Asked(engine, BASE, extreme).whole().finish in ("stop", "length")
    engine.close()
