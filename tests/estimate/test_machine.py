"""The memory of a machine is what its control groups leave of it."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
import torch

from loraflow.estimate import machine
from loraflow.estimate.machine import Machine, this_machine

LIMIT = 3 * 2**30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty tree of control groups that this process, of 256 MiB, is in."""
    monkeypatch.setattr(machine, "_CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "_OF_PROCESS", tmp_path / "self")
    monkeypatch.setattr(psutil.Process, "memory_info", lambda _: SimpleNamespace(rss=2**28))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    return tmp_path


def write(folder: Path, **files: object) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(f"{content}\n")


def test_without_limits_it_is_the_ram(groups: Path) -> None:
    found = this_machine()
    assert (found.kind, found.total, found.is_gpu) == (
        "RAM",
        psutil.virtual_memory().total,
        False,
    )
    assert 0 < found.free <= found.total


def test_a_limit_of_version_2_counts_wherever_it_stands(groups: Path) -> None:
    (groups / "self").write_text("0::/outer/inner\n")
    write(groups / "outer" / "inner", memory__max="max", memory__current=1)
    write(groups / "outer", memory__max=LIMIT, memory__current=2**30)
    found = this_machine()
    assert found.total == LIMIT
    assert found.free <= LIMIT


def test_a_limit_of_version_1_counts(groups: Path) -> None:
    (groups / "self").write_text("4:memory:/group\n2:cpu:/other\n")
    write(groups / "memory", memory__limit_in_bytes=2**63 - 4096)
    write(groups / "memory" / "group", memory__limit_in_bytes=LIMIT, memory__usage_in_bytes=0)
    assert this_machine().total == LIMIT


def test_files_that_can_be_read_again_do_not_fill_a_group(groups: Path) -> None:
    (groups / "self").write_text("0::/\n")
    full = {"memory__max": LIMIT, "memory__current": LIMIT}
    write(groups, **full, memory__stat="inactive_file 0")
    tight = this_machine().free
    write(groups, **full, memory__stat=f"inactive_file {2**30}")
    assert this_machine().free - tight == 2**30


@pytest.mark.parametrize(("share", "total", "free"), [("1", 24, 10), ("2", 12, 10), ("4", 6, 6)])
def test_workers_that_compute_on_one_gpu_have_a_part_each(
    share: str, total: int, free: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_gpu", lambda: Machine("some GPU", 24, 10))
    monkeypatch.setenv("LORAFLOW_MACHINE_SHARE", "4")
    monkeypatch.setenv("LORAFLOW_GPU_SHARE", share)
    assert this_machine() == Machine("some GPU", total, free)


def test_ram_that_other_workers_hold_is_not_divided_again(
    groups: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "_ram", lambda: Machine("RAM", 24, 10))
    monkeypatch.setenv("LORAFLOW_MACHINE_SHARE", "2")
    assert this_machine() == Machine("RAM", 12, 10)
