"""Reads back from MLflow what it takes to tell whether an experiment run again is the same."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.files import HISTORY, ITEMS, read_json, read_lines
from loraflow.store import RESULT
from loraflow.tracking.connection import connect
from loraflow.tracking.evaluation import FOLDER
from loraflow.tracking.result import DIFF, DIGESTS, LIBRARIES, STAGES


@dataclass(frozen=True)
class Recorded:
    """What a run says of its stages, by their names."""

    id: str
    name: str
    commit: str
    diff: str  # what differed from the commit
    libraries: Mapping[str, str]
    stages: Mapping[str, str]  # digest of each stage's key
    results: Mapping[str, Mapping[str, Any]]  # the result.json of each stage
    folder: Path  # copies of the run's artifacts

    @property
    def threads(self) -> int | None:
        """Return how many threads the last training had; None: not recorded."""
        threads: int | None = self.results.get("train", {}).get("hardware", {}).get("threads")
        return threads

    def history(self, stage: str) -> list[dict[str, Any]]:
        """Return the metrics of a training, step by step."""
        return read_lines(self.folder / STAGES / stage / HISTORY)

    def items(self, stage: str) -> list[dict[str, Any]]:
        """Return what a stage that measures made of each row."""
        return read_lines(self.folder / FOLDER / stage / ITEMS)


def fetch_recorded(tracking: TrackingConfig, run_id: str, *, out: Path) -> Recorded:
    """Copy what the run of an experiment or a trial says of its stages to `out`, and return it.

    Raises:
        UserError: if an older version logged it, which kept no digests of outputs.
    """
    client, _ = connect(tracking)
    run = client.get_run(run_id)
    out.mkdir(parents=True)
    for name in (DIGESTS, LIBRARIES, DIFF, STAGES, FOLDER):
        client.download_artifacts(run_id, name, str(out))
    stages = read_json(out / DIGESTS)
    found = {name: out / STAGES / name / RESULT for name in stages}
    results = {name: read_json(path) for name, path in found.items() if path.is_file()}
    if not any("digests" in result for result in results.values()):
        raise UserError(
            f"run={run_id} was logged by an older version, which kept no digests of outputs; give "
            "a newer run, or train anew with store=NEW"
        )
    return Recorded(
        id=run_id,
        name=run.info.run_name,
        commit=run.data.tags.get("mlflow.source.git.commit", ""),
        diff=(out / DIFF).read_text(encoding="utf-8"),
        libraries=read_json(out / LIBRARIES),
        stages=stages,
        results=results,
        folder=out,
    )
