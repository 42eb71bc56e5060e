"""What would end the engine's thread: damaged adapters, and tokens that the model does not have."""

import json
import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from peft import IA3Config, LoraConfig
from safetensors.torch import load_file, save_file

from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.serve.adapters.adapter import BASE, CONFIG, WEIGHTS, Adapter
from loraflow.serve.engine.engine import Engine
from loraflow.serve.engine.memory import Memory
from loraflow.serve.engine.stacked import StackedLora
from loraflow.serve.engine.wish import Wish
from tests.serve.asked import Asked
from tests.serve.made_adapters import adapter_in, make_adapter

pytestmark = pytest.mark.filterwarnings("ignore")

WISH = Wish([5, 6, 7], 12)


@pytest.fixture
def engine(tiny_base: BaseModel) -> Iterator[Engine]:
    engine = Engine(tiny_base, answers_at_once=4, queue=8)
    yield engine
    engine.close()


def text(engine: Engine, adapter: Adapter) -> str:
    return Asked(engine, adapter, WISH).whole().text


def edited(change: Callable[[dict[str, Any]], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        config = json.loads((folder / CONFIG).read_text())
        change(config)
        (folder / CONFIG).write_text(json.dumps(config))

    return edit


def without_half(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    save_file({name: weights[name] for name in sorted(weights)[::2]}, folder / WEIGHTS)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "config is cut": lambda folder: (folder / CONFIG).write_text('{"peft_type": "LO'),
    "config is a list": lambda folder: (folder / CONFIG).write_text("[]"),
    "no type": edited(lambda config: config.pop("peft_type")),
    "unknown type": edited(lambda config: config.update(peft_type="LOTRA")),
    "r is a word": edited(lambda config: config.update(r="two")),
    "r is another": edited(lambda config: config.update(r=3)),
    "no targets": edited(lambda config: config.update(target_modules=["nowhere"])),
    "targets are a number": edited(lambda config: config.update(target_modules=7)),
    "half of the weights": without_half,
    "weights are cut": lambda folder: (folder / WEIGHTS).write_bytes(
        (folder / WEIGHTS).read_bytes()[:-100]
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_adapter_is_refused_and_others_are_served_as_before(
    engine: Engine, tiny_base: BaseModel, tmp_path: Path, name: str
) -> None:
    good = make_adapter(tiny_base, tmp_path / "good", 1)
    before = text(engine, BASE)
    shutil.copytree(good, tmp_path / "bad")
    DAMAGES[name](tmp_path / "bad")
    bad = adapter_in(tmp_path / "bad")
    with pytest.raises(UserError, match="bad"):
        engine.load(bad)
    engine.load(adapter_in(good))
    alone = Engine(tiny_base, answers_at_once=1, queue=1)
    alone.load(adapter_in(good))
    assert text(engine, adapter_in(good)) == text(alone, adapter_in(good))
    alone.close()
    with pytest.raises(UserError, match="bad"):
        engine.load(bad)
    assert text(engine, BASE) == before


def test_a_damaged_adapter_of_another_kind_is_refused(
    engine: Engine, tiny_base: BaseModel, tmp_path: Path
) -> None:
    config = IA3Config(target_modules=["k_proj"], feedforward_modules=[])
    folder = make_adapter(tiny_base, tmp_path / "bad", 1, config)
    edited(lambda config: config.update(target_modules=["nowhere"]))(folder)
    with pytest.raises(UserError, match="bad"):
        engine.load(adapter_in(folder))
    assert text(engine, BASE)


def test_a_dora_adapter_that_lacks_weights_is_refused(
    engine: Engine, tiny_base: BaseModel, tmp_path: Path
) -> None:
    config = LoraConfig(r=2, target_modules=["q_proj", "v_proj"], use_dora=True)
    folder = make_adapter(tiny_base, tmp_path / "bad", 1, config)
    without_half(folder)
    with pytest.raises(UserError, match=r"lacks \d+ weights"):
        engine.load(adapter_in(folder))


def test_an_adapter_that_diverged_is_refused(
    engine: Engine, tiny_base: BaseModel, tmp_path: Path
) -> None:
    folder = make_adapter(tiny_base, tmp_path / "bad", 1)
    weights = load_file(folder / WEIGHTS)
    save_file({name: weight * math.nan for name, weight in weights.items()}, folder / WEIGHTS)
    with pytest.raises(UserError, match="puts out what is no number; train it again"):
        engine.load(adapter_in(folder))
    assert text(engine, BASE)


def test_an_adapter_that_came_went_and_came_again_answers_the_same(
    engine: Engine, tiny_base: BaseModel, tmp_path: Path
) -> None:
    one, two = (adapter_in(make_adapter(tiny_base, tmp_path / str(s), s)) for s in (1, 2))
    engine.load(one)
    expected = text(engine, one)
    engine.unload(one.digest)  # the only one stays inside PEFT
    engine.load(one)
    assert text(engine, one) == expected
    engine.load(two)
    engine.unload(one.digest)
    assert text(engine, two) != expected
    engine.load(one)
    assert text(engine, one) == expected


def test_what_fails_a_pass_ends_alone_and_changes_no_other_answer(
    engine: Engine, tiny_base: BaseModel, tmp_path: Path
) -> None:
    adapter = adapter_in(make_adapter(tiny_base, tmp_path / "a", 1))
    engine.load(adapter)
    long = Wish([5, 6, 7], 200)
    undisturbed = Asked(engine, adapter, long).whole()
    fine = Asked(engine, adapter, long)
    fine.next()
    assert Asked(engine, BASE, Wish([10**6], 4)).whole().finish == "failed"
    answer = fine.whole()
    assert (answer.text, answer.finish) == (undisturbed.text, undisturbed.finish)


def test_adapters_that_were_stacked_half_way_answer_as_before(
    engine: Engine, tiny_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = (adapter_in(make_adapter(tiny_base, tmp_path / str(s), s)) for s in (1, 2))
    for adapter in (one, two):
        engine.load(adapter)
    expected = [text(engine, one), text(engine, two)]
    stack, calls = StackedLora.stack, []

    def short_of_memory(layer: StackedLora, adapters: list[str]) -> None:
        calls.append(adapters)
        if len(calls) == 3:
            raise RuntimeError("out of memory")
        stack(layer, adapters)

    monkeypatch.setattr(StackedLora, "stack", short_of_memory)
    both = [Asked(engine, adapter, WISH) for adapter in (one, two)]
    answers = [asked.whole() for asked in both]
    assert len(calls) > 3
    for answer, right in zip(answers, expected, strict=True):
        assert answer.finish == "failed" or answer.text == right
    assert [text(engine, one), text(engine, two)] == expected


def test_without_memory_to_remember_answers_go_on(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish = Wish(list(range(5, 50)), 4)
    expected = Asked(engine, BASE, wish).whole().text

    def no_copy(*_: Any) -> Memory:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(Memory, "beginning", no_copy)
    for prompt in (wish.prompt, [*wish.prompt[::-1]]):
        assert Asked(engine, BASE, Wish(prompt, 4)).whole().finish in ("stop", "length")
    assert Asked(engine, BASE, wish).whole().text == expected
