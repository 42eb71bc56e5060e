"""The drawings of the page: what could be said over time, ratings by day, latencies."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from loraflow.page.charts.marks import mark, series
from loraflow.page.charts.scale import Box, Scale, frame
from loraflow.page.charts.svg import drawing, line, tag, told, way, width_of, write
from loraflow.serve.traffic.arms import ArmSummary, Quantiles
from loraflow.serve.traffic.gather import Traffic
from loraflow.serve.traffic.verdict import Finding

_POINTS = 400  # of a line: more cannot be seen
_DAY = 86_400
_DAYS = 30  # that are drawn one by one
_SMALL = (430.0, 250.0)
_FEW_POINTS = 2


def draw_sequence(finding: Finding, width: float) -> Markup | None:
    """Return the difference so far and its interval, over votes; None before the second block."""
    followed = finding.followed
    if len(followed.mean) < _FEW_POINTS:
        return None
    places = _spread(len(followed.mean))
    votes = [float(finding.came[place]) for place in places]
    low, high, mean = ([float(a[p]) for p in places] for a in _arrays(finding))
    box = Box(62.0, 34.0, width - 16, 330.0)
    across = Scale(0.0, votes[-1], box.left, box.right)
    reach = min(1.0, 1.15 * _height(low, high, mean))
    up = Scale(-reach, reach, box.bottom, box.top)
    names = ("votes" if finding.kind == "split" else "votes on pairs", "candidate \u2212 control")
    top = [(across(x), up(y)) for x, y in zip(votes, high, strict=True)]
    bottom = [(across(x), up(y)) for x, y in zip(votes, low, strict=True)]
    middle = [(across(x), up(y)) for x, y in zip(votes, mean, strict=True)]
    parts = [
        frame(box, across, up, names=names),
        tag("path", class_="band s0", d=f"{way([*top, *reversed(bottom)])}Z"),
        line((box.left, up(0)), (box.right, up(0)), "zero"),
        tag("path", class_="edge s0", d=way(top)),
        tag("path", class_="edge s0", d=way(bottom)),
        tag("path", class_="line s0", d=way(middle)),
    ]
    if (at := _told_at(finding)) is not None:
        x = across(at)
        words = f"told after {at:,} votes"
        fits = x + width_of(words) + 8 < box.right
        parts.append(line((x, box.top), (x, box.bottom), "told"))
        anchor, gap = ("start", 6) if fits else ("end", -6)
        parts.append(write(x + gap, box.bottom - 12, words, anchor=anchor, look="name"))
    return drawing(width, 376, parts, f"Difference after each vote: {finding.sentence}")


def draw_days(traffic: Traffic) -> Markup | None:
    """Return thumbs up and down of each day and arm."""
    latest = {rating.exchange: rating for rating in traffic.ratings}
    counts = Counter((int(one.at // _DAY), one.arm, one.value > 0) for one in latest.values())
    if not counts:
        return None
    days = [day for day, _, _ in counts]
    last = max(days)
    first = max(min(days), last - _DAYS + 1)
    width, height = _SMALL
    box = Box(48.0, 34.0, width - 12, height - 40)
    most = max(counts.values())
    up = Scale(-1.08 * most, 1.08 * most, box.bottom, box.top)
    room = (box.right - box.left) / (last - first + 1)
    bar = min(16.0, 0.36 * room)
    parts = [write(2, box.top - 16, "ratings a day: up above, down below", look="axis")]
    for tick in sorted({round(tick) for tick in up.ticks(5)}):
        parts.append(line((box.left, up(tick)), (box.right, up(tick)), "grid"))
        parts.append(write(box.left - 8, up(tick), f"{abs(tick):,}", anchor="end"))
    arms = [arm.adapter.arm for arm in traffic.arms]
    for (day, arm, is_up), count in sorted(counts.items()):
        if day < first:
            continue
        place = arms.index(arm)
        x = box.left + room * (day - first + 0.5) + (place - 1) * bar + (place * 2 - 1) * 0.5
        end = up(count if is_up else -count)
        name = f"{_date(day)}: {count:,} {'up' if is_up else 'down'}, {arm}"
        parts.append(_bar((x, bar), (min(end, up(0)), abs(end - up(0))), name, place))
    parts.append(line((box.left, up(0)), (box.right, up(0)), "floor"))
    every = math.ceil(52 / room)
    for day in range(last, first - 1, -every):
        x = box.left + room * (day - first + 0.5)
        parts.append(write(x, box.bottom + 18, _date(day), anchor="middle"))
    return drawing(width, height, parts, "Ratings of each day by arm")


def draw_latencies(arms: Sequence[ArmSummary]) -> Markup | None:
    """Return p50 and p95 of the first token and of whole answers, by arm, on a scale of ratios."""
    rows: list[tuple[str, int, Quantiles]] = []
    for name, field in (("first token", "first_token_seconds"), ("whole answer", "seconds")):
        for place, arm in enumerate(arms):
            found: Quantiles | None = getattr(arm, field)
            if found is not None:
                rows.append((name, place, found))
    if not rows:
        return None
    width, height = _SMALL
    box = Box(100.0, 34.0, width - 20, height - 40)
    ends = [max(end, 1e-3) for _, _, found in rows for end in (found.p50, found.p95)]
    across = box.across(ends, log=True)
    parts = [write(2, box.top - 16, "seconds: p50 to p95", look="axis")]
    for tick in across.ticks():
        parts.append(line((across(tick), box.top), (across(tick), box.bottom), "grid"))
        parts.append(write(across(tick), box.bottom + 16, f"{tick:g}", anchor="middle"))
    step = (box.bottom - box.top) / len(rows)
    for number, (name, place, found) in enumerate(rows):
        y = box.top + step * (number + 0.5)
        if number == 0 or rows[number - 1][0] != name:
            same = sum(one[0] == name for one in rows)
            parts.append(write(box.left - 10, y + step * (same - 1) / 2, name, anchor="end"))
        start, end = (across(max(value, 1e-3)) for value in (found.p50, found.p95))
        words = f"{arms[place].adapter.arm}, {name}: {found.p50:.3g} s, 19 of 20 {found.p95:.3g} s"
        inside = [
            line((start, y), (end, y), "bar"),
            mark((start, y), place=place, size=5),
            line((end, y - 6), (end, y + 6), "bar"),
        ]
        parts.append(tag("g", told(words), *inside, class_=series(place)))
    return drawing(width, height, parts, "Latencies by arm")


def _arrays(finding: Finding) -> Sequence[Sequence[float]]:
    followed = finding.followed
    return [followed.low.tolist(), followed.high.tolist(), followed.mean.tolist()]


def _spread(count: int) -> list[int]:
    """Return places to draw, the last one among them; early ones lie denser, where more happens."""
    if count <= _POINTS:
        return list(range(count))
    found = {round((count - 1) * (step / (_POINTS - 1)) ** 2) for step in range(_POINTS)}
    return sorted(found)


def _height(low: Sequence[float], high: Sequence[float], mean: Sequence[float]) -> float:
    """Return what has to be seen: how wide it was after a fifth of the votes, and the end."""
    later = len(low) // 5
    return max(map(abs, [*low[later:], *high[later:], *mean[later:]]))


def _told_at(finding: Finding) -> int | None:
    """Return after how many votes the arms were told apart; None if they are not."""
    if finding.verdict not in ("better", "worse"):
        return None
    followed = finding.followed
    return finding.came[int((followed.p <= followed.alpha).argmax())]


def _bar(across: tuple[float, float], up: tuple[float, float], words: str, place: int) -> Markup:
    (x, wide), (y, high) = across, up
    return tag(
        "rect",
        told(words),
        class_=f"day {series(place)}",
        x=x,
        y=y,
        width=wide,
        height=high,
        rx=1.5,
    )


def _date(day: int) -> str:
    return f"{datetime.fromtimestamp(day * _DAY, UTC):%d %b}".lstrip("0")
