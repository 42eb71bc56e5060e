"""Finds rows that say what an earlier row says already, on fingerprints alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from loraflow.data.clean.fingerprints import BANDS, Digests, FingerprintFiles, Rows


@dataclass(frozen=True)
class Copies:
    """Rows to set aside, and for each the earlier row that it copies."""

    rows: Rows
    originals: Rows
    similarity: NDArray[np.float64]


def exact_duplicates(content: Digests, rows: Rows) -> Copies:
    """Of `rows` (in order), find those with the content of an earlier one."""
    copies, originals = _later_equals(content, rows)
    return Copies(copies, originals, np.ones(len(copies)))


def near_duplicates(
    files: FingerprintFiles, numbers: Digests, rows: Rows, *, threshold: float
) -> Copies:
    """Of `rows`, find those whose shingles have a Jaccard similarity of `threshold` to an earlier.

    Candidates share a band of the MinHash signature (Broder 1997; LSH as in Leskovec et al.,
    Mining of Massive Datasets, 3.4) and all their numbers; each pair is then judged by the whole
    signature. Pairs are joined to clusters, of which the first row stays.
    """
    left, right = _candidates(files, numbers, rows)
    similarity = files.similarity(left, right)
    close = similarity >= threshold
    first = _first_of_cluster(left[close], right[close], len(numbers))
    copies = rows[first[rows] != rows]
    originals = first[copies]
    return Copies(copies, originals, files.similarity(copies, originals))


def conflicting_answers(
    prompt: Digests, answer: Digests, rows: Rows, *, max_answers: int
) -> Copies:
    """Find rows that answer a prompt in another way than the first `max_answers` ways."""
    asked, pairs = prompt[rows], _mixed(prompt[rows], answer[rows])
    _, first, way = np.unique(pairs, return_index=True, return_inverse=True)
    order = np.lexsort((first, asked[first]))  # of ways: by prompt, as they appear
    starts = np.flatnonzero(_starts(asked[first[order]]))
    sizes = np.diff(starts, append=len(order))
    earlier = np.empty(len(order), np.int64)  # ways of the same prompt
    earlier[order] = np.arange(len(order)) - np.repeat(starts, sizes)
    original = np.empty(len(order), np.int64)
    original[order] = np.repeat(first[order[starts]], sizes)
    late = earlier[way] >= max_answers
    return Copies(rows[late], rows[original[way[late]]], np.zeros(late.sum()))


def count_conflicts(prompt: Digests, answer: Digests, rows: Rows) -> dict[str, int]:
    """Count prompts with more than one answer, and their rows."""
    _, first = np.unique(_mixed(prompt[rows], answer[rows]), return_index=True)
    prompts, answers = np.unique(prompt[rows][first], return_counts=True)
    conflicting = prompts[answers > 1]
    affected = int(np.isin(prompt[rows], conflicting).sum())
    return {"prompts": len(conflicting), "rows": affected}


def _candidates(files: FingerprintFiles, numbers: Digests, rows: Rows) -> tuple[Rows, Rows]:
    """Return pairs (earlier, later) of rows that share a band and all numbers, each once."""
    found = np.empty(0, np.uint64)
    for number in range(BANDS):
        pairs = list(_neighbours(_mixed(files.band(number), numbers)[rows], rows))
        found = np.unique(np.concatenate([found, *pairs]))
    return (found >> np.uint64(32)).astype(np.int64), (found & _LOW).astype(np.int64)


_LOW = np.uint64(0xFFFFFFFF)


def _neighbours(digests: Digests, rows: Rows) -> Iterator[NDArray[np.uint64]]:
    """Yield each row of a bucket with the bucket's first row, and with the row before it."""
    order = np.lexsort((rows, digests))
    starts = _starts(digests[order])
    inside = ~starts
    members = rows[order]
    first = members[np.flatnonzero(starts)[np.cumsum(starts) - 1]] if len(members) else members
    yield _pair(first[inside], members[inside])
    yield _pair(members[:-1][inside[1:]], members[inside])


def _pair(left: Rows, right: Rows) -> NDArray[np.uint64]:
    return (left.astype(np.uint64) << np.uint64(32)) | right.astype(np.uint64)


def _later_equals(digests: Digests, rows: Rows) -> tuple[Rows, Rows]:
    order = rows[np.lexsort((rows, digests[rows]))]
    starts = _starts(digests[order])
    first = order[np.flatnonzero(starts)[np.cumsum(starts) - 1]] if len(order) else order
    later = np.argsort(order[~starts])
    return order[~starts][later], first[~starts][later]


def _first_of_cluster(left: Rows, right: Rows, rows: int) -> Rows:
    """Return for every row the first row of its cluster; itself if it is alone."""
    links = coo_array((np.ones(len(left), bool), (left, right)), shape=(rows, rows))
    _, cluster = connected_components(links, directed=False)
    first = np.full(rows, rows, np.int64)
    np.minimum.at(first, cluster, np.arange(rows))
    found: Rows = first[cluster]
    return found


def _starts(ordered: Digests) -> NDArray[np.bool_]:
    """Mark where a new value begins."""
    starts = np.ones(len(ordered), bool)
    starts[1:] = ordered[1:] != ordered[:-1]
    return starts


def _mixed(left: Digests, right: Digests) -> Digests:
    return (left * np.uint64(0x9E3779B97F4A7C15)) ^ right
