"""What of the store a line of nights still needs."""

from loraflow.config import TrackingConfig
from loraflow.promote.line import Line
from loraflow.promote.registry.registry import Registry

TRAIN = "train"  # tag of a version: digest of the stage that trained it


def keep_of(tracking: TrackingConfig, line: Line, name: str) -> dict[str, str]:
    """Return the digests of stages that have to stay, and what needs each.

    Raises:
        UserError: if the registry does not answer: then nothing may go.
    """
    registry = Registry(tracking, name)
    versions = {
        "the champion": registry.champion(),
        "the champion before": registry.previous(),
        "the challenger": registry.challenger(),
    }
    kept = {
        version.tags[TRAIN]: why
        for why, version in versions.items()
        if version is not None and TRAIN in version.tags
    }
    if last := line.last_trained():
        kept[last.data["prepared"]] = "the next night's look for drift"
    return kept
