"""What it takes, beside the config and the data, to run an experiment again."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version

_LIBRARIES = (
    "torch",
    "transformers",
    "trl",
    "peft",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "ftfy",
    "rensa",
    "evaluate",
    "sacrebleu",
    "rouge-score",
    "mlflow",
    "prefect",
    "hydra-core",
)


@dataclass(frozen=True)
class Provenance:
    """The code that a run was started with, and when."""

    started: str  # ISO, UTC
    commit: str  # empty outside a checkout
    diff: str  # from the commit
    libraries: Mapping[str, str]


def provenance() -> Provenance:
    """Return that of a run which starts now."""
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return Provenance(started, git_commit(), git_diff(), library_versions())


def library_versions() -> dict[str, str]:
    """Return the installed version of each library that results depend on."""
    return {library: version(library) for library in _LIBRARIES}


def git_commit() -> str:
    """Return the commit that is checked out; empty outside a checkout."""
    return _git("rev-parse", "HEAD").strip()


def git_diff() -> str:
    """Return what differs from the commit."""
    return _git("diff", "HEAD")


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=False, timeout=10
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""
