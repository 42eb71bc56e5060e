"""What of the store the nights of all lines still need."""

from collections.abc import Iterator
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
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
        kept = {
            version.tags[TRAIN]: alias
            for alias, version in aliased_versions(client)
            if TRAIN in version.tags
        }
    except MlflowException as error:
        raise Unreachable(
            f"tracking.uri={tracking.uri}: the model registry does not answer, so nobody can tell "
            f"what is needed: {str(error)[:200]}"
        ) from error
    for line in lines_of(nights):
        if last := line.last_trained():
            kept[last.data["prepared"]] = f"the next night's look for drift ({line.folder.name})"
    return kept


def aliased_versions(client: MlflowClient) -> Iterator[tuple[str, ModelVersion]]:
    """Yield what every alias of every registered model points to: "champion of tickets"."""
    page = client.search_registered_models()
    while True:
        for model in page:
            for alias, number in model.aliases.items():
                yield f"{alias} of {model.name}", client.get_model_version(model.name, number)
        if not page.token:
            return
        page = client.search_registered_models(page_token=page.token)
