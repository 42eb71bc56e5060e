"""What the rows are: their sources, kinds and labels, and the languages of their answers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from loraflow.data.operators.language import identify
from loraflow.data.report.samples import count_values, spread, take_rows
from loraflow.data.tables import count_rows

_LANGUAGE_ROWS = 2_000  # a share among them is off by 2% at most, 19 times of 20
_SURE = 0.4  # confidence below which it is mostly code, a table or a list of names
_NAMES = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "hi": "Hindi",
    "id": "Indonesian",
    "it": "Italian",
    "ja": "Japanese",
    "ko": "Korean",
    "nl": "Dutch",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "th": "Thai",
    "tr": "Turkish",
    "uk": "Ukrainian",
    "vi": "Vietnamese",
    "zh": "Chinese",
}


@dataclass(frozen=True)
class SourceRows:
    """What became of the rows of a source."""

    name: str
    layout: str
    read: int
    train: int
    held_out: int
    rejected: int

    @property
    def unused(self) -> int:
        """Rows that were kept and are in neither file."""
        return max(0, self.read - self.train - self.held_out - self.rejected)


def read_sources(folder: Path, named: Sequence[Mapping[str, Any]]) -> list[SourceRows]:
    """Return the sources of a prepared folder, those with most rows first."""
    train, held_out, rejected = (
        count_values(folder / f"{name}.parquet", "source")
        for name in ("train", "held_out", "rejected")
    )
    sources = [
        SourceRows(
            name=source["name"],
            layout=source["layout"],
            read=source["read"],
            train=train[source["name"]],
            held_out=held_out[source["name"]],
            rejected=rejected[source["name"]],
        )
        for source in named
    ]
    return sorted(sources, key=lambda source: (-source.read, source.name))


def count_kept(folder: Path, column: str) -> list[tuple[str, int]]:
    """Count the values of a column over train and held-out, the commonest first."""
    counts = count_values(folder / "train.parquet", column)
    counts += count_values(folder / "held_out.parquet", column)
    return _ranked(counts)


def count_languages(path: Path) -> list[tuple[str, int]]:
    """Identify the languages of answers that are spread evenly over a file, commonest first.

    Of a text with a label, which says nothing of a language, it is the text's.
    """
    places = spread(np.arange(count_rows(path)), _LANGUAGE_ROWS)
    rows = take_rows(path, places, ["kind", "messages"])
    texts = (row["messages"][_told(row["kind"])]["content"] for row in rows)
    return _ranked(Counter(map(language_name, texts)))


def language_name(text: str) -> str:
    """Name the language of a text: Chinese, English, "not sure"."""
    code, confidence = identify(text)
    return _NAMES.get(code, code) if confidence >= _SURE else "not sure"


def _told(kind: str) -> int:
    return 0 if kind == "classify" else -1


def _ranked(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
