"""The folders that the stages of an evaluation leave."""

from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class ArmOutputs:
    """What one model was measured by; None: it was not asked for."""

    evaluate: Path
    probe: Path | None
    prompts: Path | None
    answer: Path | None
    grade: Path | None = None
    bench_grade: Path | None = None

    def with_grades(self, grade: Path | None, bench_grade: Path | None) -> "ArmOutputs":
        """Return the same with the judge's ratings."""
        return replace(self, grade=grade, bench_grade=bench_grade)


@dataclass(frozen=True)
class EvaluationOutputs:
    """Both arms, or the base alone, and what the judge did for both."""

    base: ArmOutputs
    tuned: ArmOutputs | None
    card: Path | None
    bench_card: Path | None
    games: Path | None

    def arms(self) -> dict[str, ArmOutputs]:
        """Return the arms by name."""
        return {"base": self.base} | ({} if self.tuned is None else {"tuned": self.tuned})
