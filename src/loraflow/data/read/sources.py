"""Finds the files that `data.path` names: files, folders, patterns, a dataset of the hub."""

import glob
import hashlib
import os
import re
from collections import Counter
from dataclasses import dataclass, replace
from itertools import takewhile
from pathlib import Path

from loraflow.config import DataConfig
from loraflow.data.read.built_in import BUILT_IN
from loraflow.data.read.hub import HUB, fetch_dataset, without_tests
from loraflow.data.read.rows import READERS, format_of, reader_of
from loraflow.data.read.unpack import PACKED
from loraflow.errors import UserError
from loraflow.files import hash_content

HELD_OUT = -1  # the entry of the file that is the held-out side
# what `datasets` writes beside the rows
_BESIDE_ROWS = {"dataset_dict.json", "dataset_info.json", "dataset_infos.json", "state.json"}
_PATTERN = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class Source:
    """A file of rows."""

    name: str  # as reports and rejected rows call it: without the folders above what was named
    path: Path
    entry: int  # which of data.path named it, counted from 0, or HELD_OUT
    size: int  # bytes, as it lies on disk


def find_sources(data: DataConfig) -> list[Source]:
    """Return the files to read, the held-out file first; in sorted order within a folder.

    Raises:
        UserError: if a path is missing, empty, or holds no file of a known format.
    """
    held_out_path = data.split.held_out_path
    held_out = (
        [] if held_out_path is None else _files(held_out_path, HELD_OUT, "data.split.held_out_path")
    )
    sources = [
        source
        for entry, path in enumerate(data.path or [])
        for source in _files(path, entry, "data.path")
    ]
    return _named_apart([*held_out, *_named_once(sources, apart=held_out)])


def benchmark_files(data: DataConfig) -> list[Source]:
    """Return the files of `data.leak.benchmarks`.

    Raises:
        UserError: as `find_sources`.
    """
    return [
        source
        for path in data.leak.benchmarks
        for source in _files(path, 0, "data.leak.benchmarks")
    ]


def fingerprint(data: DataConfig) -> str:
    """Return a digest of the names and the content of all files read, wherever they lie."""
    files = [*find_sources(data), *benchmark_files(data)]
    lines = [f"{file.entry} {file.name} {_hash_of(file)}" for file in files]
    if data.path is None:
        lines.append(BUILT_IN[data.layout].digest())
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _hash_of(source: Source) -> str:
    try:
        return hash_content(source.path)
    except OSError as error:
        raise UserError(
            f"data.path={source.path} cannot be read: {error.strerror}; change its permissions"
        ) from error


def _named_once(sources: list[Source], *, apart: list[Source]) -> list[Source]:
    """Return the sources without those held out, which a folder may hold too."""
    held_out = {_place(source) for source in apart}
    found = [source for source in sources if _place(source) not in held_out]
    times = Counter(map(_place, found))
    for source in found:
        if times[_place(source)] > 1:
            raise UserError(
                f"data.path names {source.path} twice; leave it out of one folder, pattern or list"
            )
    if sources and not found:
        raise UserError(
            "data.path names no file but that of data.split.held_out_path; add one to train on"
        )
    return found


def _place(source: Source) -> str:
    return os.path.abspath(source.path)


def _named_apart(sources: list[Source]) -> list[Source]:
    """Call a file by its full path where another one has the same name."""
    names = Counter(source.name for source in sources)
    return [
        source if names[source.name] == 1 else replace(source, name=_shown(source.path))
        for source in sources
    ]


def _shown(path: Path) -> str:
    """Return the path as text, also if its name is not UTF-8."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _files(named: str, entry: int, key: str) -> list[Source]:
    """Return the files behind one path, each checked to be there, readable and not empty."""
    if named.startswith(HUB):
        root, paths = _on_hub(named, key)
        prefix = named.partition("@")[0].removeprefix(HUB).split(":")[0]
    else:
        root, paths = _on_disk(named, key)
        prefix = ""
    return [
        Source(_shown(Path(prefix) / path.relative_to(root)), path, entry, _size(path, key))
        for path in paths
    ]


def _on_disk(named: str, key: str) -> tuple[Path, list[Path]]:
    try:
        path = Path(named).expanduser()
        exists = path.exists()
    except (OSError, RuntimeError) as error:  # a name too long, a ~user that is none
        raise UserError(f"{key}={named} cannot be looked up: {error}; set {key}=FILE") from error
    if _PATTERN.search(named) and not exists:
        found = sorted({Path(match) for match in glob.glob(str(path), recursive=True)})
        return _common_root(path), _data_files(found, named, key)
    if not exists:
        hub = f", or {key}={HUB}{named} for a dataset of the hub" if named.count("/") == 1 else ""
        raise UserError(
            f"{key}={named} does not exist (looked at {path.absolute()}); set {key}=FILE{hub}"
        )
    if path.is_dir():
        return path.parent, _data_files(_paths_below(path), named, key)
    reader_of(path)
    return path.parent, [path]


def _common_root(pattern: Path) -> Path:
    """Return the folder above the first part that is a pattern."""
    parts = list(takewhile(lambda part: not _PATTERN.search(part), pattern.parts))
    return Path(*parts)


def _paths_below(folder: Path) -> list[Path]:
    """Return what is in the folder and in its folders, without what is hidden."""
    return sorted(
        path
        for path in folder.rglob("*")
        if not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def _data_files(paths: list[Path], named: str, key: str) -> list[Path]:
    found = [
        path
        for path in paths
        if format_of(path) in READERS and path.name not in _BESIDE_ROWS and path.is_file()
    ]
    if not found:
        raise UserError(
            f"{key}={named} holds no data file; known suffixes: {', '.join(READERS)} "
            f"(also with {' or '.join(PACKED)} behind them)"
        )
    return found


def _on_hub(named: str, key: str) -> tuple[Path, list[Path]]:
    root, pattern = fetch_dataset(named, key=key, suffixes=list(READERS))
    if pattern is None:
        return root, without_tests(_data_files(_paths_below(root), named, key), root)
    found = glob.glob(pattern, root_dir=root, recursive=True)
    return root, _data_files(sorted(root / path for path in found), named, key)


def _size(path: Path, key: str) -> int:
    size = path.stat().st_size
    if size == 0:
        raise UserError(f"{key}={path} is empty; set {key} to a file with records")
    return size
