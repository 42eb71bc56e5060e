"""Stage: one HTML page about a data run: what was read, set aside and edited, what is learned."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath
from typing import Any

import pyarrow.parquet as pq

from loraflow.data.report.composition import count_kept, count_languages, read_sources
from loraflow.data.report.difference import compare
from loraflow.data.report.histogram import draw_histogram
from loraflow.data.report.lengths import Lengths, grouped, in_order, read_lengths, summarize
from loraflow.data.report.preview import preview
from loraflow.data.report.samples import find_places, take_rows
from loraflow.data.report.set_aside import read_groups, read_reasons
from loraflow.data.report.steps import build_funnel, describe_steps
from loraflow.data.report.view import render
from loraflow.data.template import IGNORED
from loraflow.files import read_json
from loraflow.model.source import BaseModel
from loraflow.model.tokenizer import Tokenizer, load_tokenizer

_SIDES = ("train", "held_out")
_PREVIEWS = 3
_WIDE, _NARROW = 960, 470  # pixels of a drawing alone, and of two beside each other
_DUPLICATES = ("exact_duplicates", "near_duplicates")
_CONFLICTS = ("conflicting_answers",)


def report(
    *,
    prepared: Path,
    tokens: Path,
    base: BaseModel,
    batch_size: int,
    max_length: int,
    out: Path,
) -> dict[str, Any]:
    """Write report.html to `out` and return the numbers behind its plots.

    The page needs no other file and no network, and depends on the two folders alone: no clock, no
    path of this machine. Rows pass by a piece at a time; the examples are read by their places.
    """
    result = read_json(prepared / "result.json")
    fit = _fit(tokens)
    train, held_out = (read_lengths(tokens / f"{side}.parquet") for side in _SIDES)
    padding = {"in_order": in_order(train, batch_size), "grouped": grouped(train, batch_size)}
    languages = count_languages(prepared / "train.parquet")
    page = {
        "model": _short_name(base),
        "batch_size": batch_size,
        "max_length": max_length,
        "counts": result["counts"],
        "warnings": result["warnings"],
        "about": describe_steps(),
        "funnel": build_funnel(
            result["funnel"], result["counts"], fit=fit["reasons"], cut=fit["cut"]
        ),
        "reasons": read_reasons(prepared / "rejected.parquet"),
        "edits": _edits(result["edits"]),
        "fit": fit,
        "lengths": _lengths(train, held_out, max_length),
        "padding": padding,
        "languages": languages,
        "duplicates": _copies(prepared, result, _DUPLICATES),
        "conflicts": {**result["conflicts"], **_copies(prepared, result, _CONFLICTS)},
        "leak": result["leak"],
        "previews": _previews(tokens / "train.parquet", prepared, train, base),
        "sources": read_sources(prepared, result["sources"]),
        "kinds": count_kept(prepared, "kind"),
        "labels": count_kept(prepared, "label"),
        "negatives": result.get("negatives") or {},
    }
    html = render(page).encode("utf-8", "backslashreplace")  # a result may hold half a surrogate
    (out / "report.html").write_bytes(html)
    return {
        "counts": {"bytes": len(html), "language_rows": sum(count for _, count in languages)},
        "languages": dict(languages),
        "padding": {name: round(batches.share, 4) for name, batches in padding.items()},
    }


def _short_name(base: BaseModel) -> str:
    """Name the model without the folders of this machine."""
    path = PurePath(base.name)
    return path.name if path.is_absolute() or base.name.startswith("~") else base.name


def _edits(samples: Sequence[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return the samples by operator, with what changed between before and after."""
    edits = defaultdict(list)
    for sample in samples:
        changes = compare(sample["before"], sample["after"])
        edits[str(sample["operator"])].append({**sample, "changes": changes})
    return dict(edits)


def _fit(tokens: Path) -> dict[str, Any]:
    """Return what became of the rows on their way to tokens."""
    counts = read_json(tokens / "result.json")["counts"]
    reasons = read_reasons(tokens / "rejected.parquet")
    return {
        "rows": {side: counts[f"{side}_rows"] for side in _SIDES},
        "examples": sum(counts.get(f"{side}_examples", 0) for side in _SIDES),
        "cut": sum(counts[f"{side}_cut"] for side in _SIDES),
        "too_long": sum(reason.rows for reason in reasons if reason.operator == "max_length"),
        "turns_not_learned": counts.get("train_turns_not_learned", 0),
        "reasons": reasons,
    }


def _lengths(train: Lengths, held_out: Lengths, limit: int) -> dict[str, Any]:
    """Draw the lengths of whole rows, of what is only read, and of what is learned."""
    return {
        name: {
            "drawing": draw_histogram(
                getattr(train, name), getattr(held_out, name), limit=marked, width=width
            ),
            "train": summarize(getattr(train, name)),
            "held_out": summarize(getattr(held_out, name)),
        }
        for name, width, marked in (
            ("whole", _WIDE, limit),
            ("prompt", _NARROW, None),
            ("learned", _NARROW, None),
        )
    }


def _copies(prepared: Path, result: Mapping[str, Any], operators: Sequence[str]) -> dict[str, Any]:
    """Return the rows that operators set aside for an earlier one, the largest groups first."""
    rejected_by = result["rejected_by"]
    layouts = {source["name"]: source["layout"] for source in result["sources"]}
    count, groups = read_groups(prepared, operators, layouts)
    return {
        "rejected": {name: rejected_by.get(name, 0) for name in operators},
        "group_count": count,
        "groups": groups,
    }


def _previews(path: Path, prepared: Path, train: Lengths, base: BaseModel) -> list[dict[str, Any]]:
    """Show the first training rows and the longest one."""
    if not len(train.whole):
        return []
    longest = int(train.whole.argmax())
    places = sorted({*range(min(_PREVIEWS, len(train.whole))), longest})
    rows = take_rows(path, places, pq.read_schema(path).names)
    ids = [row["id"].partition("-")[0] for row in rows]  # windows are called ID-0, ID-1, ...
    sources = find_places(prepared / "train.parquet", ids)
    tokenizer = load_tokenizer(base)
    return [
        {
            "number": place + 1,
            "longest": place == longest,
            "source": sources.get(name, name),
            "row": preview(row, tokenizer),
            "label": row.get("label"),
            "worse": _decode(row.get("rejected_labels", []), tokenizer),
        }
        for place, row, name in zip(places, rows, ids, strict=True)
    ]


def _decode(labels: Sequence[int], tokenizer: Tokenizer) -> str:
    text: str = tokenizer.decode([label for label in labels if label != IGNORED])
    return text
