"""What rows are compared by: digests of prompt, content and numbers, and a MinHash signature."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rensa
from numpy.typing import NDArray

from loraflow.data.records import Record
from loraflow.data.shingles import normalized, numbers, shingles

PERMUTATIONS = 128
BANDS = 16
_ROWS_PER_BAND = PERMUTATIONS // BANDS  # two rows of similarity s share a band: 1-(1-s^8)^16
_SEED = 1
_PAIRS_AT_ONCE = 20_000  # signatures compared together: 20 MB
_DIGESTS = ("content", "prompt", "answer", "numbers", "stratum")
_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio, as in splitmix64

Digests = NDArray[np.uint64]
Rows = NDArray[np.int64]  # numbers of rows, counted from 0


@dataclass(frozen=True)
class Fingerprints:
    """One entry a row."""

    content: Digests
    prompt: Digests
    answer: Digests
    numbers: Digests  # and the label, and which answer is better: rows that differ in one differ
    stratum: Digests
    signature: NDArray[np.uint32]  # (rows, PERMUTATIONS), or no columns where none was asked for


def take_fingerprints(
    records: Sequence[Record], ids: Sequence[str], strata: Sequence[str], *, ngram: int | None
) -> Fingerprints:
    """Fingerprint each record; `ngram` is the length of the shingles of the signature."""
    texts = [_whole_text(record) for record in records]
    return Fingerprints(
        content=np.array([int(digest, 16) for digest in ids], np.uint64),
        prompt=_digests(map(prompt_text, records)),
        answer=_digests(normalized(record.answer) for record in records),
        numbers=_digests(
            f"{numbers(text)} {record.label} {_prefers_longer(record)}"
            for text, record in zip(texts, records, strict=True)
        ),
        stratum=_digests(strata),
        signature=_signatures(texts, ngram),
    )


def prompt_text(record: Record) -> str:
    """Return what makes two rows ask the same; a raw text, which asks nothing, is its own."""
    return normalized("\n".join(part["content"] for part in record.prompt or record.messages))


def prompt_id(record: Record) -> str:
    """Name what a row asks: the same for rows that ask the same."""
    return f"{digest(prompt_text(record)):016x}"


def bands(signature: NDArray[np.uint32]) -> Digests:
    """Return (rows, BANDS) digests; rows that are alike agree in at least one of them."""
    parts = signature.reshape(len(signature), BANDS, _ROWS_PER_BAND).astype(np.uint64)
    digest = np.zeros(parts.shape[:2], np.uint64)
    for column in range(_ROWS_PER_BAND):
        digest = (digest ^ parts[:, :, column]) * _ODD
        digest ^= digest >> np.uint64(29)
    return digest


def digest(text: str) -> int:
    """Return 64 bits that stand for `text`."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def _whole_text(record: Record) -> str:
    return "\n".join([*(part["content"] for part in record.messages), record.rejected or ""])


def _prefers_longer(record: Record) -> bool | None:
    """Tell which of two answers is the better one: "A rather than B" is no "B rather than A".

    Such rows have all their text in common. Which answer is longer stays the same where near
    duplicates differ in a few words; answers of one length are told apart by their text.
    """
    if record.rejected is None:
        return None
    return (len(record.answer), record.answer) > (len(record.rejected), record.rejected)


def _digests(texts: Iterable[str]) -> Digests:
    return np.fromiter(map(digest, texts), np.uint64)


def _signatures(texts: Sequence[str], ngram: int | None) -> NDArray[np.uint32]:
    if ngram is None or not texts:
        return np.empty((len(texts), 0), np.uint32)
    sets = [shingles(text, ngram) for text in texts]
    matrix = rensa.RMinHash.digest_matrix_from_token_sets(sets, PERMUTATIONS, _SEED)
    return np.array(matrix.to_rows(), np.uint32)


class FingerprintFiles:
    """Collects fingerprints: digests in memory (40 bytes a row), signatures on disk."""

    def __init__(self, folder: Path) -> None:
        """Keep signatures and band digests in `folder`."""
        self._folder = folder
        self._digests: dict[str, list[Digests]] = {name: [] for name in _DIGESTS}
        self._signatures = (folder / "signatures.u32").open("wb")
        self._bands = [(folder / f"band{band}.u64").open("wb") for band in range(BANDS)]

    def add(self, prints: Fingerprints) -> None:
        """Append the fingerprints of the next rows."""
        for name, column in self._digests.items():
            column.append(getattr(prints, name))
        if prints.signature.size:
            self._signatures.write(prints.signature.tobytes())
            for file, digests in zip(self._bands, bands(prints.signature).T, strict=True):
                file.write(digests.tobytes())

    def finish(self) -> dict[str, Digests]:
        """Close the files and return the digests, by what they are of."""
        for file in [self._signatures, *self._bands]:
            file.close()
        empty = np.empty(0, np.uint64)
        return {name: np.concatenate([empty, *parts]) for name, parts in self._digests.items()}

    def band(self, number: int) -> Digests:
        """Return one band's digest of every row."""
        return np.fromfile(self._folder / f"band{number}.u64", np.uint64)

    def similarity(self, left: Rows, right: Rows) -> NDArray[np.float64]:
        """Return the estimated Jaccard similarity of each pair of rows."""
        parts = [np.empty(0)]
        for start in range(0, len(left), _PAIRS_AT_ONCE):
            pairs = slice(start, start + _PAIRS_AT_ONCE)
            # mapped anew each time, so that pages already read do not pile up
            stored = np.memmap(self._folder / "signatures.u32", np.uint32, "r")
            signatures = stored.reshape(-1, PERMUTATIONS)
            parts.append((signatures[left[pairs]] == signatures[right[pairs]]).mean(axis=1))
        return np.concatenate(parts)
