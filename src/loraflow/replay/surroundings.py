"""Compares code, libraries and hardware of a recorded experiment with those of the replay."""

from collections.abc import Iterator, Mapping
from typing import Any

from loraflow.config import JudgeConfig
from loraflow.plan.keys import COMPUTING
from loraflow.store import Key, Store
from loraflow.tracking.provenance import git_commit, git_diff, library_versions
from loraflow.tracking.recorded import Recorded

_WITH_MODEL = ("train", "evaluate")  # stages
_SHORT = 10  # characters of a commit


def code_warnings(recorded: Recorded) -> Iterator[str]:
    """Say which code and libraries are others; known before anything runs."""
    commit = git_commit()
    if commit != recorded.commit:
        yield f"git commit: {recorded.commit[:_SHORT] or 'none'} -> {commit[:_SHORT] or 'none'}"
    elif recorded.diff != git_diff():
        yield "git: what differs from the commit is not the same (git.diff of the run)"
    for library, version in library_versions().items():
        if (before := recorded.libraries.get(library)) != version:
            rounding = "; results may be rounded otherwise" if library in COMPUTING else ""
            yield f"library {library}: {before} -> {version}{rounding}"


def judge_warnings(judge: JudgeConfig) -> Iterator[str]:
    """Say that a service is no program that could be run again."""
    if judge.kind == "openai":
        yield "judge: a service need not rate the same twice; grades that differ prove nothing"


def hardware_warnings(recorded: Recorded, stages: Mapping[str, Key], store: Store) -> Iterator[str]:
    """Say where the replay was computed on something else, which rounds in another way."""
    said: dict[str, None] = {}
    for name, key in stages.items():
        before = recorded.results.get(name, {}).get("hardware")
        if key.stage not in _WITH_MODEL or before is None:
            continue
        now = store.result(key)["hardware"]
        said |= dict.fromkeys(_changes(before, now))
    yield from said


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    for name, value in now.items():
        if before.get(name) != value:
            yield f"{name}: {before.get(name)} -> {value}"
