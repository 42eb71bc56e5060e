"""Drift for people: Markdown for Prefect and MLflow, and a picture."""

import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from loraflow.files import write_json
from loraflow.page.text import visible
from loraflow.promote.drift.measure import TITLES, Drift, Feature

_CALM, _MOVED, _INK, _SOFT = "#2f6d8c", "#cf5327", "#1d2427", "#59636a"
_INCHES, _DPI = (8.0, 3.4), 120


def write_drift(drift: Drift, out: Path) -> dict[str, Any]:
    """Write drift.json, drift.md and drift.png to `out`; return what decides."""
    write_json(out / "drift.json", drift.as_dict())
    (out / "drift.md").write_text(as_markdown(drift), encoding="utf-8")
    (out / "drift.png").write_bytes(drift_picture(drift))
    drifted = [one.name for one in drift.drifted]
    return {"values": drift.values, "drifted": drifted, "sentence": drift.sentence}


def as_markdown(drift: Drift) -> str:
    """Return the sentence, a table of features, and what moved."""
    return "\n".join(_lines(drift))


def drift_picture(drift: Drift) -> bytes:
    """Return a PNG on white: the index of each feature, what chance gives, and the bound."""
    from matplotlib.figure import Figure  # noqa: PLC0415 - a second that the text need not wait for

    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained", facecolor="white")
    _draw(drift, figure.add_subplot())
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.savefig(target, format="png")
    return target.getvalue()


def _lines(drift: Drift) -> Iterator[str]:
    drifted = {one.name for one in drift.drifted}
    yield f"**{_safe(drift.sentence)}**"
    yield ""
    yield "| Feature | PSI | by chance, mean | by chance, at most | |"
    yield "|---|---:|---:|---:|---|"
    for one in drift.features:
        numbers = f"{one.psi:.3f} | {one.expected:.3f} | {one.noise:.3f}"
        yield f"| {TITLES[one.name]} | {numbers} | {_verdict(one, drift, drifted)} |"
    yield ""
    for one in sorted(drift.features, key=lambda one: -one.psi):
        if one.movers and one.psi > one.noise:
            yield f"- {TITLES[one.name]}: {_safe('; '.join(one.movers))}"
    yield ""
    yield (
        f"Measured on {drift.rows_before:,} rows of the last training set and {drift.rows_now:,} "
        "of tonight's. What stays below *by chance, at most* is what two halves of the same data "
        "would show; drift is what exceeds that and the bound."
    )


def _verdict(one: Feature, drift: Drift, drifted: set[str]) -> str:
    if one.name in drifted:
        return "⚠ **drifted**"
    if one.psi > drift.max_psi:
        return "too few rows to tell"
    return "moved, within the bound" if one.psi > one.noise else "no drift"


def _safe(text: str) -> str:
    """Keep words of the data from being read as Markdown or HTML."""
    shown = visible(text)
    for sign in "\\`*_[]<>|#":
        shown = shown.replace(sign, f"\\{sign}")
    return shown.replace("\n", " ")


def _draw(drift: Drift, axes: Any) -> None:
    drifted = {one.name for one in drift.drifted}
    features = drift.features[::-1]
    heights = range(len(features))
    colours = [_MOVED if one.name in drifted else _CALM for one in features]
    bars = axes.barh(heights, [one.psi for one in features], color=colours, height=0.55)
    axes.bar_label(
        bars,
        [f"{one.psi:.3f}{' drifted' if one.name in drifted else ''}" for one in features],
        padding=4,
        color=_INK,
        fontsize=9,
    )
    axes.plot(
        [one.noise for one in features], heights, "|", color=_INK, ms=16, mew=2, label="by chance"
    )
    axes.axvline(drift.max_psi, color=_SOFT, ls="--", lw=1.2, label=f"max_psi {drift.max_psi:g}")
    axes.set_yticks(heights, [TITLES[one.name] for one in features], color=_INK)
    axes.set_xlim(0, 1.25 * max(drift.max_psi, *(max(one.psi, one.noise) for one in features)))
    axes.set_xlabel("population stability index", color=_INK)
    axes.set_title("Tonight's training rows against the last ones", loc="left", color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(colors=_SOFT)
    axes.legend(frameon=False, fontsize=8.5, loc="center left", bbox_to_anchor=(1.0, 0.5))
