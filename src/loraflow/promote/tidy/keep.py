"""What of the store the nights of all lines still need."""

from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from loraflow.config import TrackingConfig
from loraflow.promote.line import lines_of
from loraflow.tracking.connection import Unreachable, connect

TRAIN = "train"  # tag of a version: digest of the stage that trained it


def keep_of(tracking: TrackingConfig, nights: Path) -> dict[str, str]:
    """Return the digests of stages that have to stay, and what needs each.

    That is what any alias of any registered model points to, and the rows that the next night of
    each line, in the folder `nights`, compares its own with.

    Raises:
        Unreachable: if MLflow does not answer: then nothing may go.
    """
    client, _ = connect(tracking)
    try:
        kept = _in_use(client)
    except MlflowException as error:
        raise Unreachable(
            f"tracking.uri={tracking.uri}: the model registry does not answer, so nobody can tell "
            f"what is needed: {str(error)[:200]}"
        ) from error
    for line in lines_of(nights):
        if last := line.last_trained():
            kept[last.data["prepared"]] = f"the next night's look for drift ({line.folder.name})"
    return kept


def _in_use(client: MlflowClient) -> dict[str, str]:
    return {
        tags[TRAIN]: f"{alias} of {model.name}"
        for model in client.search_registered_models()
        for alias, number in model.aliases.items()
        if TRAIN in (tags := client.get_model_version(model.name, number).tags)
    }
