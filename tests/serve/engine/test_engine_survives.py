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


def test_a_token_that_the_model_lacks_ends_its_own_answer_alone(engine: Engine) -> None:
    fine = Asked(engine, BASE, Wish([5, 6, 7], 200))
    fine.next()
    assert Asked(engine, BASE, Wish([10**6], 4)).whole().finish == "failed"
    assert fine.whole().finish in ("stop", "length")
    assert Asked(engine, BASE, WISH).whole().finish in ("stop", "length")
