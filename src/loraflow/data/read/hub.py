"""Fetches a dataset of the Hugging Face hub, or finds it in the cache, and sorts out its splits."""

import re
from functools import cache
from pathlib import Path

from loraflow.errors import UserError

HUB = "hub:"
_NAME = re.compile(r"hub:([\w.-]+/[\w.-]+?)(?:@([\w./-]+?))?(?::(.+))?")
_SPLITS = {
    "train": re.compile(r"(?<![a-z])train(ing|set|data)?(?![a-z])"),
    "test": re.compile(
        r"(?<![a-z])(test|testing|dev|val|valid|validation|eval|evaluation)(?![a-z])"
    ),
}


def fetch_dataset(named: str, *, key: str, suffixes: list[str]) -> tuple[Path, str | None]:
    """Return the folder of a dataset, and the pattern of files in it if one was named.

    Args:
        named: hub:OWNER/NAME, hub:OWNER/NAME@REVISION or hub:OWNER/NAME:PATTERN.
        key: the config key that it stands in.
        suffixes: of the files that are wanted, where no pattern says it.

    Raises:
        UserError: if it is none of these, or neither on the hub nor in the cache.
    """
    match = _NAME.fullmatch(named)
    if match is None or ".." in named or ":/" in named:
        raise UserError(
            f"{key}={named} is no dataset of the hub; "
            f"write {HUB}OWNER/NAME, {HUB}OWNER/NAME@REVISION or {HUB}OWNER/NAME:PATTERN"
        )
    name, revision, pattern = match.groups()
    wanted = (pattern,) if pattern else tuple(f"*{suffix}*" for suffix in suffixes)
    return _snapshot(name, revision, wanted), pattern


@cache  # a run that asks twice gets the same files
def _snapshot(name: str, revision: str | None, wanted: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download  # noqa: PLC0415 - a second, for the hub alone
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError  # noqa: PLC0415

    try:
        folder = snapshot_download(
            name, repo_type="dataset", revision=revision, allow_patterns=list(wanted)
        )
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise UserError(
            f"data.path={HUB}{name} cannot be fetched: {str(error).splitlines()[0][:200]}; "
            "check the name and the network, or download it and set data.path=FOLDER"
        ) from error
    return Path(folder)


def without_tests(paths: list[Path], root: Path) -> list[Path]:
    """Return the training files; where none is named so, those of no split; else all."""
    splits = [_split_of(path.relative_to(root)) for path in paths]
    wanted = next((split for split in ("train", "") if split in splits), "test")
    return [path for path, split in zip(paths, splits, strict=True) if split == wanted]


def _split_of(path: Path) -> str:
    """Tell by the file's name, as in train-00000-of-00002; failing that by its folder."""
    for text in (path.name.lower(), str(path.parent).lower()):
        for split, name in _SPLITS.items():
            if name.search(text):
                return split
    return ""
