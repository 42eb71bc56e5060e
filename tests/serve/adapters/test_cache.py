"""An adapter is fetched once, whole or not at all, and stays as long as anybody uses it."""

import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from loraflow.model.source import BaseModel
from loraflow.serve.adapters.adapter import Adapter
from loraflow.serve.adapters.cache import AdapterCache, kept_as
from tests.serve.made_adapters import make_adapter

pytestmark = pytest.mark.filterwarnings("ignore")

HOLD = """
import sys
from pathlib import Path
from loraflow.serve.adapters.cache import AdapterCache

cache = AdapterCache(Path(sys.argv[1]))
assert cache.find("version-1-a", "champion")
print("found", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def made(tiny_base: BaseModel, tmp_path: Path) -> Path:
    return make_adapter(tiny_base, tmp_path / "made", 1)


def fetch(cache: AdapterCache, made: Path, name: str = "version-1-a") -> Adapter:
    def fill(folder: Path) -> Mapping[str, Any]:
        shutil.copytree(made, folder)
        return {"settings": None, "version": 1}

    return cache.fetch(name, "champion", fill)


def names_in(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if path.is_dir()}


def test_many_that_want_one_adapter_at_once_fetch_it_once(made: Path, tmp_path: Path) -> None:
    fetches, together = [], threading.Barrier(4)

    def fill(folder: Path) -> Mapping[str, Any]:
        fetches.append(folder)
        shutil.copytree(made, folder)
        return {"settings": None}

    def ask(_: int) -> Adapter:
        cache = AdapterCache(tmp_path / "c")
        together.wait(20)
        return cache.fetch("run-a", "champion", fill)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(ask, range(4)))
    assert len(fetches) == 1 and len({adapter.digest for adapter in found}) == 1
    assert names_in(tmp_path / "c") == {kept_as(found[0])}


def test_a_fetch_that_fails_leaves_nothing(made: Path, tmp_path: Path) -> None:
    cache = AdapterCache(tmp_path / "c")

    def fill(folder: Path) -> Mapping[str, Any]:
        shutil.copytree(made, folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cache.fetch("version-1-a", "champion", fill)
    assert names_in(tmp_path / "c") == set()
    assert cache.find("version-1-a", "champion") is None
    assert fetch(cache, made).version == 1


def test_only_versions_that_are_neither_kept_nor_pinned_are_deleted(
    made: Path, tmp_path: Path
) -> None:
    cache = AdapterCache(tmp_path / "c")
    fetch(cache, made, "version-1-pinned")
    cache.pin()
    for name in ("version-2-kept", "version-3-gone", "run-a"):
        fetch(cache, made, name)
    killed = tmp_path / "c" / ".fetching-version-4-killed"
    killed.mkdir()
    cache.prune({"version-2-kept"})
    assert names_in(tmp_path / "c") == {"version-1-pinned", "version-2-kept", "run-a"}
    assert fetch(cache, made, "version-3-gone").folder is not None


def test_what_another_process_uses_is_not_deleted_until_it_ends(made: Path, tmp_path: Path) -> None:
    cache = AdapterCache(tmp_path / "c")
    fetch(cache, made)
    command = [sys.executable, "-c", HOLD, str(tmp_path / "c")]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "found\n"
        cache.prune(set())
        assert names_in(tmp_path / "c") == {"version-1-a"}
        other.kill()
    cache.prune(set())
    assert names_in(tmp_path / "c") == set()


def test_what_is_being_fetched_is_not_deleted(made: Path, tmp_path: Path) -> None:
    cache, pruning = AdapterCache(tmp_path / "c"), AdapterCache(tmp_path / "c")

    def fill(folder: Path) -> Mapping[str, Any]:
        shutil.copytree(made, folder)
        pruning.prune(set())
        return {"settings": None}

    assert cache.fetch("version-1-a", "champion", fill).folder is not None
