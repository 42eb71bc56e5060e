"""A packed file gives what it holds up to the first damage, and a bomb is not unpacked."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loraflow.data.read.unpack import BrokenFileError, open_bytes
from loraflow.errors import UserError
from tests.data.sources import on_any_machine, zstd

CONTENT = b"".join(b"line %d, %d squared\n" % (number, number**2) for number in range(30_000))
PACKED = {".gz": gzip.compress(CONTENT), ".zst": zstd(CONTENT)}


def read_until_damage(path: Path) -> tuple[bytes, bool]:
    """Return the content and whether damage ended it."""
    content = b""
    try:
        with open_bytes(path) as file:
            content = file.read()
    except BrokenFileError:
        return content, True
    return content, False


@pytest.mark.parametrize("name", ["a", "a.gz", "a.zst", "A.GZ", "A.Zst"])
def test_content_is_that_of_the_plain_file(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED.get(path.suffix.lower(), CONTENT))
    assert read_until_damage(path) == (CONTENT, False)


@pytest.mark.parametrize("suffix", PACKED)
def test_files_joined_by_cat_are_one(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PACKED[suffix] * 2)
    assert read_until_damage(path) == (CONTENT * 2, False)


@pytest.mark.parametrize("suffix", PACKED)
@given(share=st.floats(0, 1, exclude_max=True))
@on_any_machine
def test_truncated_file_gives_its_beginning_and_says_so(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, share: float
) -> None:
    whole = PACKED[suffix]
    path = tmp_path_factory.getbasetemp() / f"truncated{suffix}"
    path.write_bytes(whole[: max(1, int(share * len(whole)))])
    content, damaged = read_until_damage(path)
    assert damaged
    assert CONTENT.startswith(content)


@pytest.mark.parametrize(("suffix", "least"), [(".gz", 1.0), (".zst", 0.6)])  # zstd: by blocks
def test_damage_at_the_end_costs_little(tmp_path: Path, suffix: str, least: float) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(PACKED[suffix][:-5])
    content, damaged = read_until_damage(path)
    assert damaged
    assert len(content) >= least * len(CONTENT)


def test_wrong_checksum_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(PACKED[".gz"][:-8] + bytes(4) + PACKED[".gz"][-4:])
    assert read_until_damage(path) == (CONTENT, True)


@pytest.mark.parametrize("name", ["a.gz", "a.zst"])
def test_file_that_is_not_packed_is_damaged(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENT)
    assert read_until_damage(path) == (b"", True)


def test_damage_is_raised_once_more_where_one_reads_on(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(PACKED[".gz"][:-5])
    with pytest.raises(BrokenFileError), open_bytes(path) as file:
        file.read()
        file.read(1)


def test_what_is_not_read_is_not_complained_about(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(PACKED[".gz"][:-5])
    with open_bytes(path) as file:
        assert file.readline() == b"line 0, 0 squared\n"


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstd)])
def test_bomb_is_left_after_64_mib(
    tmp_path: Path, suffix: str, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / f"bomb{suffix}"
    path.write_bytes(pack(bytes(2**26 + 2**20)))
    unpacked = 0
    with (
        pytest.raises(UserError, match=rf"data\.path={path} grows more than 200-fold"),
        open_bytes(path) as file,
    ):
        while piece := file.read(2**20):
            unpacked += len(piece)
    assert unpacked <= 2**26


def test_small_file_may_grow_as_it_likes(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(bytes(2**22)))
    assert read_until_damage(path) == (bytes(2**22), False)
