"""What a night trains with, where sweeps say it: the last one, or one of its own before it."""

import json
from datetime import datetime
from zoneinfo import ZoneInfo

from flows.night.tonight import Tonight
from flows.night_command import NightRequest
from loraflow.errors import UserError
from loraflow.promote.gate.gate_set import GateSet


def as_recommended(request: NightRequest) -> NightRequest:
    """Return the request with what the last sweep recommends, if it is to go by that.

    Raises:
        UserError: if it is to, and no sweep has recommended anything.
    """
    from loraflow.tracking.recommended import fetch_recommended

    night = request.night
    if night.settings == "config" and not night.sweep_on:
        return request
    recommended = fetch_recommended(request.config)
    if night.settings == "sweep" and not recommended:
        raise UserError(
            f"night.settings=sweep: no sweep over {request.config.model.name} has recommended "
            "anything; run make sweep first, or set night.settings=config"
        )
    return request.with_words(recommended)


def sweep_if_due(tonight: Tonight, gate: GateSet) -> None:
    """Sweep first on the days that are for it, and go by what that recommends."""
    request = tonight.request
    today = datetime.now(ZoneInfo(request.schedule.timezone))
    if f"{today:%A}".lower() not in request.night.sweep_on:
        return
    sweep_around(request, gate, _middle(tonight, f"{today:%Y-%m-%d}"))
    tonight.request = as_recommended(request)
    tonight.diary.data["settings"] = tonight.request.settings.digest
    tonight.note()


def sweep_around(request: NightRequest, gate: GateSet, r: int) -> None:
    """Compare half, the same and twice the r; none of the trials sees the gate set."""
    from flows.sweep import sweep

    ranks = ",".join(str(one) for one in sorted({max(1, r // 2), r, 2 * r}))
    words = [word for word in request.experiment_words if not word.startswith("adapter.r=")]
    apart = [*request.config.data.leak.benchmarks, str(gate.rows)]
    words += [f"data.leak.benchmarks={json.dumps(apart)}", "sweep=default"]
    sweep(f"{request.night.name}: around r={r}", [*words, f"adapter.r={ranks}"])


def _middle(tonight: Tonight, day: str) -> int:
    """Return the r that the sweep of a day is around, and note it.

    A night that is tried again, or was killed, sweeps over the same: what it recommended meanwhile
    would move it.
    """
    notes = [one.data.get("swept") for one in tonight.line.nights()]
    notes.append(tonight.diary.data.get("swept"))
    swept = [note["r"] for note in notes if note is not None and note["day"] == day]
    r: int = swept[0] if swept else tonight.request.config.adapter.r
    tonight.diary.data["swept"] = {"day": day, "r": r}
    tonight.note()
    return r
