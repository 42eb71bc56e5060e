"""What a server begins with: names that are free, a champion that can be had, the base of it."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest

from flows.serving import Sections, find_champion, find_given, make_follower, served_config
from flows.used_command import Used, read_used
from loraflow.config import Config
from loraflow.errors import UserError
from loraflow.model.source import BaseModel
from loraflow.promote.registry.registry import Registry
from loraflow.serve.adapters.find import AdapterFinder
from loraflow.serve.names.follow import Movable
from loraflow.serve.names.note import write_note
from loraflow.tracking.connection import Unreachable
from tests.promote.registered import tracking_in
from tests.serve.trained_runs import log_run, log_whole_model, promote

pytestmark = pytest.mark.filterwarnings("ignore")

Read = Callable[..., Used[Sections]]


@pytest.fixture
def read(tiny_folder: Path, tmp_path: Path) -> Read:
    """Read a command line of make serve, with all that it writes below `tmp_path`."""
    tracking = tracking_in(tmp_path)
    own = [
        *["model=folder", f"model.location={tiny_folder}", "quantization=none"],
        *[f"tracking.uri={tracking.uri}", f"tracking.artifacts={tracking.artifacts}"],
        *[f"serve.folder={tmp_path / 'serving'}", "serve.registered=m"],
    ]
    return lambda *words: read_used("serve", Sections, [*own, *words])


def promoted(read: Read, base: BaseModel, folder: Path, seed: int, *overrides: str) -> None:
    tracking = read().config.tracking
    promote(Registry(tracking, "m"), log_run(tracking, base, folder / str(seed), seed, *overrides))


def begin(used: Used[Sections]) -> tuple[AdapterFinder, Config]:
    finder, given = find_given(used)
    return finder, served_config(used, finder, given)


@pytest.mark.parametrize("name", ["default", "base", "champion", "challenger", "previous"])
def test_names_that_the_server_gives_itself_are_not_given_to_others(read: Read, name: str) -> None:
    used = read(f"++serve.adapters={{{name}: nowhere}}")
    with pytest.raises(UserError, match=rf"serve\.adapters\.{name}: .*such as my_{name}"):
        find_given(used)


def test_the_base_is_that_of_the_champions_training(
    read: Read, tiny_base: BaseModel, tmp_path: Path
) -> None:
    assert begin(read())[1].template.name == "native"
    promoted(read, tiny_base, tmp_path, 1, "template=alpaca")
    assert begin(read())[1].template.name == "alpaca"
    assert begin(read("template=chatml"))[1].template.name == "chatml"


def test_a_champion_that_cannot_be_had_is_what_it_was_last(
    read: Read, tiny_base: BaseModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    promoted(read, tiny_base, tmp_path, 1)
    serve = read().sections.serve
    first = find_champion(serve, begin(read())[0])
    assert first is not None
    promoted(read, tiny_base, tmp_path, 2)
    for weights in (tmp_path / "artifacts").rglob("adapter_model.safetensors"):
        weights.write_bytes(b"damaged")
    finder, _ = find_given(read())
    with pytest.raises(UserError, match="is not what was registered"):
        find_champion(serve, finder)  # nobody knows which base to serve
    write_note(tmp_path / "serving" / "aliases-m.json", {"champion": first})
    assert find_champion(serve, finder) == first

    def away(_: AdapterFinder) -> dict[str, int]:
        raise Unreachable("the model registry does not answer")

    monkeypatch.setattr(AdapterFinder, "aliases", away)
    assert find_champion(serve, finder) == first
    (tmp_path / "serving" / "aliases-m.json").unlink()
    assert find_champion(serve, finder) is None


def test_a_champion_that_is_a_whole_model_is_refused_with_the_way_to_serve_it(
    read: Read, tiny_base: BaseModel, tmp_path: Path
) -> None:
    tracking = read().config.tracking
    promote(Registry(tracking, "m"), log_whole_model(tracking, tiny_base, tmp_path / "full"))
    said = r"serve\.registered=m \(version 1\) is a whole model.*serve\.registered=null model=fold"
    with pytest.raises(UserError, match=said):
        begin(read())
    assert begin(read("serve.registered=null"))[1].template.name == "native"


@pytest.mark.parametrize("name", ["null", "HuggingFaceTB/SmolLM2-135M"])
def test_where_no_model_can_be_registered_nothing_is_followed(read: Read, name: str) -> None:
    names = cast(Movable, None)
    used = read(f"serve.registered={name}")
    assert make_follower(used.sections.serve, names, find_given(used)[0]) is None
    assert make_follower(read().sections.serve, names, find_given(read())[0]) is not None
