"""What MLflow keeps on this disk of old nights: weights of versions that no alias points to."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from loraflow.config import TrackingConfig
from loraflow.lock import locked
from loraflow.promote.tidy.keep import aliased_versions
from loraflow.promote.tidy.tidy import TRASH, Piece, size_of
from loraflow.tracking.connection import Unreachable, connect, lock_file

TIDIED = "loraflow.tidied"  # tag of a version whose weights are gone: since when

_MODEL = "models:/"


@contextmanager
def weights_of_nights(tracking: TrackingConfig, name: str) -> Iterator[list[Piece]]:
    """Yield the weights of every version of the model `name` that lie in a local folder.

    No process of this machine moves an alias meanwhile. At the end, versions whose weights are
    gone are tagged so.

    Raises:
        Unreachable: if MLflow does not answer.
    """
    client, _ = connect(tracking)
    try:
        with locked(lock_file(tracking, "registry")):
            aliases = {version.source: alias for alias, version in aliased_versions(client)}
            found = [
                (version, folder)
                for version in client.search_model_versions(f"name='{name}'")
                if (folder := _folder(client, version)) is not None
            ]
            yield [
                piece
                for version, folder in found
                for piece in _pieces(version, folder, aliases.get(version.source, ""))
            ]
            for version, folder in found:
                if not folder.exists() and TIDIED not in version.tags:
                    now = datetime.now(UTC).isoformat(timespec="seconds")
                    client.set_model_version_tag(name, version.version, TIDIED, now)
    except MlflowException as error:
        raise Unreachable(
            f"tracking.uri={tracking.uri}: the model registry does not answer: {str(error)[:200]}"
        ) from error


def _folder(client: MlflowClient, version: ModelVersion) -> Path | None:
    """Return where its weights lie, or lay; None: not on this disk."""
    source = version.source or ""
    if not source.startswith(_MODEL):
        return None
    location = urlsplit(client.get_logged_model(source.removeprefix(_MODEL)).artifact_location)
    return Path(url2pathname(location.path)) if location.scheme in ("", "file") else None


def _pieces(version: ModelVersion, folder: Path, needed: str) -> Iterator[Piece]:
    used = version.creation_timestamp / 1000
    trash = folder.with_name(folder.name + TRASH)
    if folder.is_dir():
        yield Piece("artifacts", folder, size_of(folder), used, needed=needed)
    if trash.is_dir():
        yield Piece("leftover", trash, size_of(trash), used)
