"""Small sources for the tests of reading, cleaning and preparing."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, settings

from loraflow.config import DataConfig
from loraflow.data.prepare import prepare
from loraflow.data.read.sources import fingerprint
from loraflow.data.records import Message, Record
from tests.conftest import composed

on_any_machine = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

_FEW_ROWS_DO = (
    "data=file",
    "data.path=unset",
    "data.min_train_rows=1",
    "data.split.held_out_rows=1",
    "data.max_reject_rate=1.0",
)

GOOD: list[dict[str, Any]] = [
    {"instruction": f"第{number}问", "output": f"回答{number}"} for number in range(20)
]
BAD: list[Any] = [GOOD[0], {"instruction": "q", "output": " "}, {"instruction": "q"}, 5]


def file_data(path: Path | str | Sequence[Path | str], *overrides: str) -> DataConfig:
    """Return `data=file` for one path or several; a row on each side is enough."""
    paths = [path] if isinstance(path, Path | str) else path
    return replace(_composed_data(overrides), path=[str(one) for one in paths])


@cache  # composing takes a tenth of a second, and a property test asks a hundred times
def _composed_data(overrides: tuple[str, ...]) -> DataConfig:
    return composed(*_FEW_ROWS_DO, *overrides).data


def prepared(data: DataConfig, out: Path) -> dict[str, Any]:
    """Run the stage into the folder `out`, which is made, and return its summary."""
    out.mkdir(parents=True, exist_ok=True)
    return prepare(data, content=fingerprint(data), out=out)


def rows_of(folder: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of a prepared folder's `train`, `held_out` or `rejected`."""
    rows: list[dict[str, Any]] = pq.read_table(folder / f"{name}.parquet").to_pylist()
    return rows


def write_rows(path: Path, rows: Sequence[Any]) -> Path:
    """Write rows in the format that the name says, packed if it says so too."""
    packer = _PACKERS.get(path.suffix, bytes)
    suffix = path.with_suffix("").suffix if path.suffix in _PACKERS else path.suffix
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packer(_FORMATS[suffix](rows)))
    return path


def zstd(data: bytes) -> bytes:
    """Return the data as a .zst file holds it."""
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


def arrow_stream(rows: Sequence[Any]) -> bytes:
    """Return rows in the stream format, in which `datasets` saves them."""
    return _arrow(rows, pa.ipc.new_stream)


def _arrow(rows: Sequence[Any], opener: Any = pa.ipc.new_file) -> bytes:
    table = pa.Table.from_pylist(list(rows))
    sink = pa.BufferOutputStream()
    with opener(sink, table.schema) as writer:
        writer.write_table(table)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _parquet(rows: Sequence[Any]) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(list(rows)), sink)
    written: bytes = sink.getvalue().to_pybytes()
    return written


def _delimited(rows: Sequence[Any], delimiter: str) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def _json_lines(rows: Sequence[Any]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


_PACKERS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstd}
_FORMATS: dict[str, Callable[[Sequence[Any]], bytes]] = {
    ".json": lambda rows: json.dumps(rows, ensure_ascii=False).encode(),
    ".jsonl": _json_lines,
    ".ndjson": _json_lines,
    ".csv": lambda rows: _delimited(rows, ","),
    ".tsv": lambda rows: _delimited(rows, "\t"),
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
}


def turn(question: str, answer: str) -> tuple[Message, ...]:
    """Return one question and its answer as messages."""
    return ({"role": "user", "content": question}, {"role": "assistant", "content": answer})


def record(question: str, answer: str) -> Record:
    """Return a record of one turn."""
    return Record(turn(question, answer))
