"""A name moves in one step: old answers end on the old adapter, new ones begin on the new."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.serve.adapters.adapter import BASE
from loraflow.serve.engine.engine import Engine
from loraflow.serve.engine.wish import Wish
from loraflow.serve.names.names import Names, UnknownName
from tests.serve.asked import Asked
from tests.serve.made_adapters import adapter_in, make_adapter
from tests.serve.names.following import Nights
from tests.serve.trained_runs import log_run

pytestmark = pytest.mark.filterwarnings("ignore")


def test_a_name_that_moves_lets_answers_in_the_making_end_on_the_old_adapter(
    engine: Engine, names: Names, tiny_base: BaseModel, tmp_path: Path
) -> None:
    old, new = (adapter_in(make_adapter(tiny_base, tmp_path / str(seed), seed)) for seed in (1, 2))
    names.point("mine", old)
    wish = Wish([5, 6, 7], 300)
    expected = {one.digest: _alone(tiny_base, one, wish) for one in (old, new)}
    assert len(set(expected.values())) == 2
    with names.lease("mine") as leased:
        asked = Asked(engine, leased, wish)
        asked.next()
        names.point("mine", new)
        names.tidy()
        with names.lease("mine") as after:
            assert after.digest == new.digest
            assert Asked(engine, after, wish).whole().text == expected[new.digest]
        assert asked.whole().text == expected[old.digest]
    assert old.digest in names._loaded
    names.tidy()
    assert names._loaded == {new.digest}
    assert names.moves == 1


def _alone(base: BaseModel, adapter: Any, wish: Wish) -> str:
    engine = Engine(base, answers_at_once=1, queue=1)
    engine.load(adapter)
    text = Asked(engine, adapter, wish).whole().text
    engine.close()
    return text


def test_default_is_the_champion_else_the_first_given_else_the_base(
    names: Names, tiny_base: BaseModel, tmp_path: Path
) -> None:
    one, two = (adapter_in(make_adapter(tiny_base, tmp_path / str(seed), seed)) for seed in (1, 2))
    assert names.listed()[0].adapter is BASE
    names.point("mine", one)
    assert names.listed()[0].adapter is one
    names.point("champion", two)
    assert names.listed()[0].adapter is two
    names.drop("champion")
    assert names.listed()[0].adapter is one


def test_an_unknown_name_says_which_there_are(names: Names) -> None:
    with (
        pytest.raises(UnknownName, match=r"'bsae' is not served here \(did you mean base\?\)"),
        names.lease("bsae"),
    ):
        pass


def test_an_adapter_of_another_base_is_refused_and_the_name_stays(
    names: Names, tiny_base: BaseModel, tmp_path: Path
) -> None:
    adapter = adapter_in(make_adapter(tiny_base, tmp_path / "a", 1))
    names.point("mine", adapter)
    with pytest.raises(UserError, match="trained on another base model"):
        names.point("mine", replace(adapter, digest="other", base_revision="other"))
    with names.lease("mine") as leased:
        assert leased is adapter


def test_each_adapter_is_asked_by_the_template_of_its_training(
    names: Names, nights: Nights, tiny_base: BaseModel, tmp_path: Path
) -> None:
    night = log_run(nights.tracking, tiny_base, tmp_path / "a", 1, "template=alpaca")
    adapter = nights.finder().find(f"run:{night.run_id}")
    names.point("mine", adapter)
    messages = [{"role": "user", "content": "你是谁？"}]
    tokenizer = names._engine.tokenizer
    asked = tokenizer.decode(names.prompt_ids(adapter, messages))
    assert "### Instruction" in asked and "你是谁？" in asked
    assert tokenizer.decode(names.prompt_ids(BASE, messages)).startswith("<|im_start|>user")


def test_a_template_of_another_shape_is_named_and_nothing_is_loaded(
    names: Names, tiny_base: BaseModel, tmp_path: Path
) -> None:
    adapter = adapter_in(make_adapter(tiny_base, tmp_path / "a", 1))
    old = replace(adapter, settings={"template": {"name": "native", "chat_template": 3}})
    with pytest.raises(UserError, match=r"has template\.chat_template=3, which this version"):
        names.point("mine", old)
    assert names._engine._passes.bodies._loaded == {}
    assert [named.name for named in names.listed()] == ["default", "base"]
