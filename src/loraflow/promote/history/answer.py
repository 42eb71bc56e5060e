"""What the page says first: who is champion, since when, how good, and what to do now."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

from loraflow.evaluate.report.numbers import digits_of, plain, signed, signed_span, span
from loraflow.page.tile import Tile
from loraflow.promote.history.looks import LOOKS
from loraflow.promote.history.nights import Night, base_score, reign, took


@dataclass(frozen=True)
class Event:
    """What happened last, in a box."""

    title: str
    tone: str
    night: Night


@dataclass(frozen=True)
class Answer:
    """The head of the page."""

    head: str
    tone: str  # good, note or bad
    lede: str
    events: Sequence[Event]  # the last night, and a rollback since
    calm: str  # what a red night has not changed; empty: the last one was green
    todo: Sequence[str]  # what to do now, step by step
    tiles: Sequence[Tile]


def answer_of(nights: Sequence[Night]) -> Answer:
    """Return the answer of all nights."""
    if not nights:
        lede = "The first night writes the first line here: make nightly runs one now."
        return Answer("No night yet", "note", lede, [], "", [], [])
    events, red = list(_events(nights)), _red(nights)
    tones = [event.tone for event in events]
    return Answer(
        head=_head(nights),
        tone=next(tone for tone in ("bad", "note", "good") if tone in tones),
        lede=" ".join(_sentences(nights)),
        events=events,
        calm=_calm(nights),
        todo=_STEPS[red[0].record.outcome] if red else (),
        tiles=list(_tiles(nights)),
    )


def _events(nights: Sequence[Night]) -> Iterator[Event]:
    """Yield a rollback that came last, and the last night."""
    for night in reversed(nights):
        look = LOOKS[night.record.outcome]
        title = f"{look.sign} {look.word.capitalize()}"
        if night.is_rollback:
            yield Event(title, look.tone, night)
            continue
        yield Event(f"{look.sign} Last night: {look.word}", look.tone, night)
        return


def _head(nights: Sequence[Night]) -> str:
    champion = nights[-1].record.champion
    if champion is not None:
        return f"Version {champion} is the champion since {reign(nights)[0].date}"
    if any(night.record.champion is not None for night in nights):
        return f"No champion since {reign(nights)[0].date}"
    return "No champion yet"


def _sentences(nights: Sequence[Night]) -> Iterator[str]:
    last, since = nights[-1], reign(nights)
    if last.record.champion is None:
        yield "The base model is what challengers have to beat."
    elif last.score is not None and last.scale is not None:
        digits = digits_of(last.scale[0])
        yield (
            f"On the gate set it scores {last.scale[0]} {plain(last.score.value, digits)} "
            f"(95% interval {span(last.score, digits)})."
        )
        base = base_score(nights)
        if base is not None:
            yield f"The base model scores {plain(base.value, digits)} on the same rows."
    else:
        yield "It has not been measured on the gate set of today."
    kept = sum(night.record.outcome == "kept" for night in since)
    if kept:
        yield f"It has held its place against {_counted(kept, 'challenger')} since."


def _red(nights: Sequence[Night]) -> Sequence[Night]:
    """Return the red nights that came last, without a green one since."""
    done = [night for night in nights if not night.is_rollback]
    return list(takewhile(lambda night: night.is_red, reversed(done)))


def _calm(nights: Sequence[Night]) -> str:
    """Return what a red night leaves as it was, and how long it has been so."""
    red, champion = _red(nights), nights[-1].record.champion
    if not red:
        return ""
    who = "the base model" if champion is None else f"version {champion}"
    calm = f"Nothing was promoted; {who} stays in its place."
    if len(red) > 1:
        calm += (
            f" This is the {_ordinal(len(red))} red night in a row, the first was {red[-1].date}."
        )
    return calm


_STEPS: Mapping[str, Sequence[str]] = {
    "failed": (
        "Read the reason above; the whole log is in the Prefect dashboard (make dashboard).",
        "Mend the cause, then run make nightly. Finished stages are reused, so that it goes on "
        "where it failed.",
    ),
    "stopped": (
        "Look at the data that came in: the reason above names the limit. A drift report is in the "
        "newest folder of drift/ in the store, the report of the data in that of report/; a night "
        "that stops trains nothing, so it has no MLflow run.",
        "If the data is wrong, mend or remove it. If the change is meant, raise the limit or set "
        "night.drift.action=report. Then run make nightly.",
    ),
}


def _tiles(nights: Sequence[Night]) -> Iterator[Tile]:
    last, since = nights[-1], reign(nights)
    if last.score is not None and last.scale is not None:
        digits = digits_of(last.scale[0])
        whose = "base model" if last.record.champion is None else "champion"
        more = span(last.score, digits)
        yield Tile(f"{last.scale[0]} of the {whose}", plain(last.score.value, digits), more)
        base = base_score(nights)
        if base is not None and last.record.champion is not None:
            gain = last.score.value - base.value
            more = f"the base model has {plain(base.value, digits)}"
            yield Tile("against the base model", signed(gain, digits), more)
    if last.record.champion is not None:
        held = sum(not night.is_rollback for night in since)
        yield Tile("nights as champion", f"{held:,}", f"since {since[0].date}")
    decided = [night for night in nights if night.decision is not None]
    is_told = last.record.outcome == "promoted" and len(decided) == 1  # against the base model
    if decided and not is_told and (found := decided[-1].decision) is not None:
        digits = digits_of(found.metric)
        yield Tile(
            f"challenger of {decided[-1].date}",
            signed(found.difference.mean, digits),
            f"{signed_span(found.difference, digits)}; the margin is {found.margin:g}",
        )
    rows = [(night.date, count) for night in nights if (count := night.count("rows")) is not None]
    if rows:
        more = f"{rows[0][1]:,} on {rows[0][0]}" if len(rows) > 1 else "on the first night"
        yield Tile("training rows", f"{rows[-1][1]:,}", more)
    done = [night for night in nights if not night.is_rollback]
    if done:
        more = f"{sum(night.is_red for night in done)} red; the last took {took(done[-1].seconds)}"
        yield Tile("nights", f"{len(done):,}", more)


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _ordinal(number: int) -> str:
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"
