"""Records of nights as months of retraining leave them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from loraflow.compare.statistics import Difference, Interval
from loraflow.config.nightly import Outcome
from loraflow.promote.gate.decision import BASE_MODEL, Decision, Guard
from loraflow.promote.record import NightRecord

FIRST = datetime(2026, 10, 28, 2, tzinfo=UTC)
WEEK: Sequence[str] = (
    "better",
    "no data",
    "poisoned",
    "drifted",
    "crash",
    "worse",
    "rollback",
)
"""What the seven nights of the simulation are, by day."""
_WATCHED = ("characters", "language")
_MONTH = (
    "better",
    "worse",
    "no data",
    "guard",
    "better",
    "no data",
    "no data",
    "worse",
    "drifted",
    "worse",
    "better",
    "worse",
    "worse",
    "no data",
    "no data",
    "poisoned",
    "better",
    "worse",
    "worse",
    "crash",
    "worse",
    "rollback",
    "worse",
    "no data",
    "better",
    "worse",
    "guard",
    "no data",
    "worse",
    "worse",
)


def week() -> list[NightRecord]:
    """A night of each kind that the simulation has."""
    return _Story().tell(WEEK)


def month(last: str = "worse") -> list[NightRecord]:
    """Thirty nights; `last` is what the last one was."""
    return _Story().tell([*_MONTH[:-1], last])


def many(count: int) -> list[NightRecord]:
    """More than a year of nights."""
    return _Story(calm=True).tell([_MONTH[night % len(_MONTH)] for night in range(count)])


@dataclass
class _Story:
    """Tells nights one after the other, as the champion, its score and the data move on."""

    calm: bool = False  # scores rise slowly
    champion: int | None = None
    previous: int | None = None
    version: int = 0
    rows: int = 1200
    scores: dict[int | None, float] = field(default_factory=lambda: {None: 0.122})
    noise: np.random.Generator = field(default_factory=lambda: np.random.default_rng(7))

    def tell(self, kinds: Sequence[str]) -> list[NightRecord]:
        return [self._night(kind, number) for number, kind in enumerate(kinds)]

    def _night(self, kind: str, number: int) -> NightRecord:
        begin = FIRST + timedelta(days=number, hours=12 if kind == "rollback" else 0)
        record = NightRecord(
            id=f"{begin:%Y-%m-%dT%H-%M-%SZ}",
            outcome="skipped",
            reason="No new data: the content of data/chats is that of the last training.",
            started=begin.isoformat(),
            ended=(begin + timedelta(seconds=6)).isoformat(),
            data={},
            drift={},
            decision=None,
            version=None,
            champion=self.champion,
            run_id="",
            url="",
            by="schedule",
        )
        if kind == "no data":
            return record
        if kind == "rollback":
            return self._rolled_back(record)
        new = int(self.noise.integers(20, 160))
        self.rows += new
        data = {"fingerprint": f"{number:064x}", "rows": self.rows, "new_rows": new}
        data |= {"rejected": int(self.noise.integers(0, 12)), "gate_rows_removed": number % 4 // 3}
        minutes = float(self.noise.normal(38, 3))
        record = replace(
            record,
            data=data,
            drift=self._drift(kind),
            ended=(begin + timedelta(minutes=minutes)).isoformat(),
            run_id=f"{number:032x}",
            url=f"http://127.0.0.1:5000/#/experiments/1/runs/{number:032x}",
        )
        return _BROKEN[kind](record, begin) if kind in _BROKEN else self._decided(record, kind)

    def _rolled_back(self, record: NightRecord) -> NightRecord:
        self.champion, bad = self.previous, self.champion
        return replace(
            record,
            outcome="rolled_back",
            reason=f"Rolled back from version {bad}: 用户反馈回答过短，先恢复旧版本。",
            by="li.na",
            version=self.champion,
            champion=self.champion,
        )

    def _drift(self, kind: str) -> Mapping[str, float]:
        names = [f"{part}_{what}" for part in ("question", "answer") for what in _WATCHED]
        names += ["vocabulary", "sources"]
        values = {name: float(abs(self.noise.normal(0.03, 0.015))) for name in names}
        if kind == "drifted":
            values |= {"answer_language": 1.17, "vocabulary": 0.62, "answer_characters": 0.31}
        return values

    def _decided(self, record: NightRecord, kind: str) -> NightRecord:
        champion = self.scores[self.champion]
        gain = 0.147 if self.champion is None else 0.004 if self.calm else 0.017
        gap = gain if kind == "better" else float(self.noise.normal(0.001, 0.006))
        half = 0.012 if kind != "better" else 0.7 * gain
        self.version += 1
        self.scores[self.version] = champion + gap
        promote = kind == "better"
        decision = decision_of(
            champion, gap, half, reference=self.champion, promote=promote, guard=kind == "guard"
        )
        if promote:
            self.previous, self.champion = self.champion, self.version
        outcome: Outcome = "promoted" if promote else "kept"
        return replace(
            record,
            outcome=outcome,
            reason=decision.sentence,
            decision=decision.as_dict(),
            version=self.version,
            champion=self.champion,
        )


def _poisoned(record: NightRecord, begin: datetime) -> NightRecord:
    reason = (
        "data.alarms.max_rejected=0.2: 412 of 498 new rows (83%) were set aside, most of them "
        "by repetition; see rejected.parquet, and mend the source."
    )
    ended = (begin + timedelta(seconds=48)).isoformat()
    return replace(
        record, outcome="stopped", reason=reason, ended=ended, drift={}, url="", run_id=""
    )


def _drifted(record: NightRecord, begin: datetime) -> NightRecord:
    reason = (
        "The data drifted beyond night.drift.max_psi=0.25: language of answers (PSI 1.17), "
        "vocabulary (PSI 0.62). Chinese answers: 12% → 58%"
    )
    ended = (begin + timedelta(seconds=71)).isoformat()
    return replace(record, outcome="stopped", reason=reason, ended=ended)


def _crashed(record: NightRecord, begin: datetime) -> NightRecord:
    reason = "store=/data/store: the disk is full; free space or set store=FOLDER on another disk."
    return replace(record, outcome="failed", reason=reason)


_BROKEN = {"poisoned": _poisoned, "drifted": _drifted, "crash": _crashed}


def decision_of(
    champion: float,
    gap: float,
    half: float,
    *,
    reference: int | None,
    promote: bool,
    guard: bool = False,
) -> Decision:
    """A decision over 200 gate rows by ROUGE-L."""
    score = champion + gap
    name = BASE_MODEL if reference is None else f"version {reference}"
    verb = "is better than" if promote else "is not clearly better than"
    sentence = f"The challenger {verb} {name}: rouge_l {gap:+.3f} ({gap - half:+.3f} to "
    sentence += f"{gap + half:+.3f}), margin 0.002, 200 rows."
    guards: list[Guard] = [Guard("leak", True, "No training row gives a gate row away.", {})]
    if guard:
        words = "The old task lost 0.031 (-0.050 to -0.012) of exact_match."
        guards.append(Guard("old_task", False, words, {"loss": 0.031}))
    return Decision(
        promote=promote,
        metric="rouge_l",
        margin=0.002,
        items=200,
        gate="a" * 64,
        champion=Interval(champion, champion - 0.021, champion + 0.022),
        challenger=Interval(score, score - 0.021, score + 0.022),
        difference=Difference(gap, gap - half, gap + half),
        reference=name,
        guards=tuple(guards),
        sentence=sentence,
    )
