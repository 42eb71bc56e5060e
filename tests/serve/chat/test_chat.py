"""A conversation: the same template as training, two side by side, and commands in between."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from loraflow.config import ChatConfig, TemplateConfig
from loraflow.data.template import Template
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import load_tokenizer, stop_tokens
from loraflow.promote.registry.registry import Registry
from loraflow.serve.adapters.find import AdapterFinder
from loraflow.serve.chat.screen import Screen
from loraflow.serve.chat.session import Session
from loraflow.serve.engine.engine import Engine
from loraflow.serve.names.names import Names
from tests.conftest import composed
from tests.promote.registered import tracking_in
from tests.serve.made_adapters import make_adapter
from tests.serve.trained_runs import log_run, promote

pytestmark = pytest.mark.filterwarnings("ignore")


class Sitting:
    """A session whose screen is a text."""

    def __init__(self, engine: Engine, tmp_path: Path, **first: object) -> None:
        finder = AdapterFinder(
            tracking_in(tmp_path), registered="m", key="serve.registered", cache=tmp_path / "cache"
        )
        settings = {
            "adapter": "base", "beside": None, "registered": "m", "system": None,
            "max_tokens": 8, "temperature": 0.0, "folder": tmp_path,
        }  # fmt: skip
        self.shown = io.StringIO()
        screen = Screen(Console(file=self.shown, width=80, soft_wrap=True))
        names = Names(engine, TemplateConfig("native", None))
        chat = ChatConfig(**{**settings, **first})  # type: ignore[arg-type]
        self.session = Session(engine, names, finder, screen, chat)

    def type(self, line: str) -> str:
        """Take a line, and return what it shows."""
        self.shown.truncate(0)
        self.shown.seek(0)
        assert self.session.take(line)
        return self.shown.getvalue()


@pytest.fixture
def engine(tiny_base: BaseModel) -> Iterator[Engine]:
    engine = Engine(tiny_base, answers_at_once=2, queue=2)
    yield engine
    engine.close()


def test_the_model_is_asked_as_training_asked_it_with_all_that_was_said(
    engine: Engine, tiny_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = log_run(tracking_in(tmp_path), tiny_base, tmp_path / "a", 1, "template=alpaca")
    promote(Registry(tracking_in(tmp_path), "m"), night)
    asked: list[list[int]] = []
    submit = engine.submit

    def noted(adapter, wish, receive):  # type: ignore[no-untyped-def]
        asked.append(wish.prompt)
        return submit(adapter, wish, receive)

    monkeypatch.setattr(engine, "submit", noted)
    sitting = Sitting(engine, tmp_path, adapter="champion", system="用中文回答")
    first = sitting.type("你是谁？").strip()
    sitting.type("再说一遍")
    tokenizer = load_tokenizer(tiny_base)
    alpaca = composed("template=alpaca").template
    template = Template(alpaca, tokenizer, stop_tokens(tiny_base, tokenizer))
    system = {"role": "system", "content": "用中文回答"}
    said = [system, {"role": "user", "content": "你是谁？"}]
    assert asked[0] == template.prompt_ids(said)
    said += [
        {"role": "assistant", "content": first.replace(" ✂ cut at chat.max_tokens", "")},
        {"role": "user", "content": "再说一遍"},
    ]
    assert asked[1] == template.prompt_ids(said)


def test_two_answer_side_by_side_each_in_its_own_conversation(
    engine: Engine, tiny_base: BaseModel, tmp_path: Path
) -> None:
    folder, second = (str(make_adapter(tiny_base, tmp_path / f"{at}", at)) for at in (1, 2))
    sitting = Sitting(engine, tmp_path, adapter=folder, beside=second)
    shown = sitting.type("hello")
    assert "cut at" in shown
    one, other = sitting.session._partners
    assert one.messages[0] == other.messages[0] == {"role": "user", "content": "hello"}
    assert one.messages[1] != other.messages[1]
    assert sitting.session.prompt == f"{folder} | {second} > "
    sitting.type("/beside")
    assert sitting.session.prompt == f"{folder} > "
    assert len(sitting.session._partners[0].messages) == 2  # goes on


def test_commands(engine: Engine, tiny_base: BaseModel, tmp_path: Path) -> None:
    folder, second = (str(make_adapter(tiny_base, tmp_path / f"{at}", at)) for at in (1, 2))
    sitting = Sitting(engine, tmp_path, adapter=second)
    sitting.type("你好")
    saved = tmp_path / "said.jsonl"
    assert "saved 1 conversations" in sitting.type(f"/save {saved}")
    (row,) = map(json.loads, saved.read_text(encoding="utf-8").splitlines())
    assert row["messages"][0] == {"role": "user", "content": "你好"}
    assert "is there already" in sitting.type(f"/save {saved}")
    sitting.type(f"/adapter {folder}")
    assert sitting.session.prompt == f"{folder} > "
    assert "is no adapter: name champion" in sitting.type("/adapter nothing")
    assert sitting.session.prompt == f"{folder} > "
    assert "did you mean /adapter?" in sitting.type("/adaptor x")
    assert "/beside NAME" in sitting.type("/help")
    assert "a new conversation" in sitting.type("/system 简短")
    assert sitting.type("") == ""
    assert not sitting.session.take("/quit")


def test_a_conversation_that_is_too_long_says_so_and_is_not_lost(
    engine: Engine, tmp_path: Path
) -> None:
    sitting = Sitting(engine, tmp_path)
    sitting.type("你好")
    before = list(sitting.session._partners[0].messages)
    assert "the model reads 1024; /clear begins a new one" in sitting.type("长" * 3000)
    assert sitting.session._partners[0].messages == before
