"""`make vllm` as it is started: what it writes and shows, and that it follows the champion."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from flows import vllm as command
from loraflow.model.source import BaseModel, find_base
from loraflow.promote.registry.registry import Registry
from tests.promote.registered import tracking_in
from tests.serve.made_adapters import make_adapter
from tests.serve.names.following import until
from tests.serve.trained_runs import log_run, promote, settings_of
from tests.serve.vllm.heard import Heard, vllm

pytestmark = pytest.mark.filterwarnings("ignore")

Run = Callable[..., None]


@pytest.fixture
def heard() -> Iterator[Heard]:
    with vllm() as server:
        yield server


@pytest.fixture
def run(heard: Heard, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line, with all that it writes below `tmp_path`."""
    tracking = tracking_in(tmp_path)
    own = [
        *["model=folder", f"model.location={tiny_folder}", "quantization=none"],
        *[f"tracking.uri={tracking.uri}", f"tracking.artifacts={tracking.artifacts}"],
        *[f"serve.folder={tmp_path / 'serving'}", f"serve.port={heard.url.rpartition(':')[2]}"],
    ]

    def run(*words: str) -> None:
        monkeypatch.setattr(sys, "argv", ["vllm", *own, *words])
        command.main()

    return run


def test_what_vllm_is_started_with_is_written_and_shown(
    run: Run,
    tiny_base: BaseModel,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = make_adapter(tiny_base, tmp_path / "mine", 1)
    run("serve.registered=null", f"serve.adapters={{mine: {folder}}}")
    shown = capsys.readouterr()
    config = tmp_path / "serving" / "vllm" / "config.json"
    assert shown.out.strip().endswith(f"vllm serve --config {config}")
    assert "serve.registered=null has no aliases to follow" in shown.err
    module = {"name": "mine", "path": str(folder)}
    assert list(map(json.loads, json.loads(config.read_text())["lora-modules"])) == [module]


def test_the_champion_is_followed_and_what_the_config_names_stays(
    run: Run,
    heard: Heard,
    tiny_base: BaseModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    tracking = tracking_in(tmp_path)
    registry, here = Registry(tracking, "m"), settings_of(tiny_base)
    base = find_base(here.model, here.quantization)

    def promoted(seed: int) -> None:
        promote(registry, log_run(tracking, base, tmp_path / str(seed), seed))

    def version(name: str) -> str:
        return Path(heard.roots.get(name, "none/none")).parent.name.rpartition("-")[0]

    def move_on(_: float) -> None:
        """Two nights pass; then the user ends the command."""
        assert version("champion") == "version-1"
        promoted(2)
        until(lambda: version("champion") == "version-2")
        promoted(3)
        until(lambda: (version("champion"), version("previous")) == ("version-3", "version-2"))
        raise KeyboardInterrupt

    promoted(1)
    monkeypatch.setattr(command, "time", SimpleNamespace(sleep=move_on))
    with pytest.raises(SystemExit, match="stopped"):
        run("serve.registered=m", "serve.poll_seconds=0.05")
    settings = json.loads((tmp_path / "serving" / "vllm" / "config.json").read_text())
    (module,) = map(json.loads, settings["lora-modules"])
    assert module["name"] == "champion" and "version-1-" in module["path"]
    assert Path(module["path"]).is_dir()
