"""A version of the registered model: what its tags say, to code and to people."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loraflow.files import hash_content

REGISTERED, CHAMPION, REPLACED, ROLLED_BACK = "registered", "champion", "replaced", "rolled back"
# Tags, without a prefix: MLflow's list of versions shows their first letters only
STATE, REPLACES, FILES = "state", "replaces", "files"
HISTORY = "history"  # a line for each time it became champion or ceased to be

_FACTS = {"data": "data", "base": "base_revision", "config": "config", "gate set": "gate"}
_PART = "; "
_SHOWN = 12  # characters of a digest


@dataclass(frozen=True)
class Version:
    """A version: its number, the run that trained it, and its tags."""

    number: int
    run_id: str
    source: str  # models:/ID of the run's logged model
    tags: Mapping[str, str]
    url: str

    @property
    def state(self) -> str:
        """Return `registered` until it has been champion, then `champion`, `replaced`, ..."""
        return self.tags.get(STATE, REGISTERED)

    @property
    def replaces(self) -> int | None:
        """Return the version that was champion before this one; None: it was the first."""
        number = self.tags.get(REPLACES, "")
        return int(number) if number.isdecimal() else None

    @property
    def history(self) -> list[str]:
        """Return when it became champion and ceased to be, by whom and why, the oldest first."""
        return self.tags.get(HISTORY, "").splitlines()

    @property
    def files(self) -> dict[str, str]:
        """Return the SHA-256 of each of its files; nothing, if others than loraflow made it."""
        digests: dict[str, str] = json.loads(self.tags.get(FILES, "{}"))
        return digests


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder` by its path in there."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): hash_content(path) for path in files}


def as_tag(digests: Mapping[str, str]) -> str:
    """Return the value of the tag `FILES`."""
    return json.dumps(digests)


def make_tags(
    decision: Mapping[str, Any], *, data: str, base_revision: str, config: str
) -> dict[str, str]:
    """Return the tags of a version.

    Args:
        decision: as `Decision.as_dict()` has it
        data: key of the prepared data
        base_revision: of the base model
        config: digest of the experiment's config
    """
    gap = decision["difference"]
    numbers = [
        f"{decision['metric']}: {_score(decision['challenger'])}",
        f"{decision['reference']}: {_score(decision['champion'])}",
        f"difference: {gap['mean']:+.3f} ({gap['low']:+.3f} to {gap['high']:+.3f})",
        f"margin: {decision['margin']:g}",
        f"{decision['items']} rows",
    ]
    return {
        "decision": "promote" if decision["promote"] else "keep the champion",
        "sentence": " ".join(decision["sentence"].split()),
        "numbers": _PART.join(numbers),
        "guards": _PART.join(_guard(guard) for guard in decision["guards"]) or "none",
        "gate": decision["gate"],
        "data": data,
        "base_revision": base_revision,
        "config": config,
    }


def describe(version: Version) -> str:
    """Return in Markdown what a team wants to know of a version; all of it is in its tags.

    The first line is plain, since MLflow's list of versions shows it as it is.
    """
    tags = version.tags
    lists = {
        "Champion": version.history,
        "On the gate set": _parts(tags.get("numbers", "")),
        "Guards": _parts(tags.get("guards", "")),
    }
    facts = [f"{name} `{tags[tag][:_SHOWN]}`" for name, tag in _FACTS.items() if tags.get(tag)]
    return "\n\n".join(
        [
            f"{version.state.capitalize()}. {tags.get('sentence', '')}".rstrip(),
            *(_list(title, items) for title, items in lists.items() if items),
            *([" · ".join(facts)] if facts else []),
        ]
    )


def _score(interval: Mapping[str, float]) -> str:
    return f"{interval['value']:.3f} ({interval['low']:.3f} to {interval['high']:.3f})"


def _guard(guard: Mapping[str, Any]) -> str:
    words = " ".join(guard["words"].split()).replace(_PART, ", ")
    return f"{guard['name']} {'passed' if guard['passed'] else 'FAILED'}: {words}"


def _parts(text: str) -> list[str]:
    return [part for part in text.split(_PART) if part]


def _list(title: str, items: Sequence[str]) -> str:
    return "\n".join([f"**{title}**", "", *(f"- {item}" for item in items)])
