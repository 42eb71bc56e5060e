"""Keys of stages: what an output depends on, and nothing else."""

from importlib.metadata import version
from typing import Any

from loraflow.store import Key, make_key

# Raise a stage's number when a change of its code changes its output.
_VERSIONS = {
    "prepare": 2,
    "tokenize": 2,
    "report": 1,
    "train": 5,
    "evaluate": 7,
    "probe": 5,
    "prompts": 5,
    "answer": 4,
    "examine": 6,
    "grade": 5,
    "play": 5,
    "page": 3,
}
COMPUTING = ("torch", "transformers", "trl", "peft", "bitsandbytes")


def stage_key(stage: str, *, reads: list[Key] | None = None, **inputs: Any) -> Key:
    """Return the key of a stage's output; the stages it reads count by their keys."""
    return make_key(stage, _VERSIONS[stage], reads=reads or [], **inputs)


def versions(*libraries: str) -> dict[str, str]:
    """Another version may compute something else, so it makes another output."""
    return {library: version(library) for library in libraries}


def without(section: dict[str, Any], *names: str) -> dict[str, Any]:
    """Return a section of the config without the keys that change no output."""
    return {name: value for name, value in section.items() if name not in names}
