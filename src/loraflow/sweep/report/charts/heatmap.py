"""A map of the first two dimensions that are compared: the better, the darker."""

from markupsafe import Markup

from loraflow.compare.arms import Comparison
from loraflow.sweep.report.charts.axes import LEFT, RIGHT, WIDTH, picture, text, title
from loraflow.sweep.report.content import Arm, RankPage, Value
from loraflow.sweep.report.words import number, with_interval

_ROW, _HEAD, _NAMES = 46, 40, 90  # units


def draw_heatmap(page: RankPage) -> Markup | None:
    """Return the map; None where fewer than two dimensions are compared.

    Where a third one varies too, a cell is the best arm in it.
    """
    compared = [one for one in page.dimensions if one.is_compared and len(one.values) > 1]
    if page.comparison is None or len(compared) < 2:  # noqa: PLR2004 - a map has two
        return None
    across, down = compared[0], compared[1]
    wide = (WIDTH - RIGHT - LEFT - _NAMES) / len(across.values)
    parts = [
        text(LEFT + _NAMES + (place + 0.5) * wide, _HEAD - 14, f"{across.name}={value}", "middle")
        for place, value in enumerate(across.values)
    ]
    for row, value in enumerate(down.values):
        y = _HEAD + row * _ROW
        parts.append(text(LEFT + _NAMES - 8, y + _ROW / 2, str(value), "end"))
        for place, other in enumerate(across.values):
            arm = _arm(page, page.comparison, {across.name: other, down.name: value})
            if arm is not None:
                parts.append(
                    _cell(page, page.comparison, arm, (LEFT + _NAMES + place * wide, y, wide))
                )
    label = f"{page.metric} by {across.name} and {down.name}"
    return picture(parts, label, height=_HEAD + _ROW * len(down.values) + 8)


def _arm(page: RankPage, comparison: Comparison, wanted: dict[str, Value]) -> Arm | None:
    found = [
        arm
        for arm in page.arms
        if all(arm.values.get(name, ...) == value for name, value in wanted.items())
    ]
    sign = 1 if page.larger_is_better else -1
    return max(found, key=lambda arm: sign * comparison.arms[arm.name].value.value, default=None)


def _cell(
    page: RankPage, comparison: Comparison, arm: Arm, place: tuple[float, float, float]
) -> Markup:
    x, y, wide = place
    found = comparison.arms[arm.name].value
    values = [comparison.arms[one.name].value.value for one in page.arms if not one.is_control]
    low, high = min(values), max(values)
    share = 0.5 if high == low else (found.value - low) / (high - low)
    share = share if page.larger_is_better else 1 - share
    chosen = page.recommendation is not None and page.recommendation.arm == arm.name
    look = "cell chosen" if chosen else "cell"
    box = Markup(
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}" fill-opacity="{}">{}</rect>'
    ).format(
        look,
        round(x + 2, 1),
        y + 2,
        round(wide - 4, 1),
        _ROW - 4,
        round(0.08 + 0.5 * share, 2),
        title(f"{arm.name}: {with_interval(page, found)}"),
    )
    half = number(page, (found.high - found.low) / 2)
    return Markup('<g class="cells">{}</g>').format(
        box
        + text(x + wide / 2, y + _ROW / 2 - 6, number(page, found.value), "middle", "value")
        + text(x + wide / 2, y + _ROW / 2 + 11, f"±{half}", "middle")
    )
