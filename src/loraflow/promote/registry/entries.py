"""The entries of one registered model in MLflow: versions, aliases, tags and the journal."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion, RegisteredModel
from mlflow.exceptions import MlflowException

from loraflow.config import TrackingConfig
from loraflow.promote.registry.move import Move
from loraflow.promote.registry.version import STATE, Version, describe

_JOURNAL = "move"  # tag of the registered model while `champion` moves
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_ABOUT = (
    "Adapters of the nightly retraining. **champion** is in use, **previous** is what it replaced, "
    "**challenger** is the newest until it is champion. Back to the previous one: "
    """`make rollback ARGS='reason="..."'`."""
)


class Entries:
    """What MLflow keeps of one registered model. Every method is one call, or calls that repeat."""

    def __init__(self, client: MlflowClient, tracking: TrackingConfig, name: str) -> None:
        """Look at the registered model `name`, which need not exist yet."""
        self._client = client
        self._ui = tracking.ui
        self._name = name

    def find(self, number: int) -> Version | None:
        """Return a version; None if there is none of this number."""
        with _absence_is_none():
            return self._read(self._client.get_model_version(self._name, str(number)))
        return None

    def at(self, alias: str) -> Version | None:
        """Return the version that has the alias."""
        number = self.aliases().get(alias)
        return None if number is None else self.find(number)

    def aliases(self) -> dict[str, int]:
        """Return the number of the version of each alias."""
        model = self._model()
        return {} if model is None else {name: int(at) for name, at in model.aliases.items()}

    def of_run(self, run_id: str, files: Mapping[str, str]) -> Version | None:
        """Return the version that this run's adapter is already."""
        return self._first(f"run_id = '{run_id}'", files)

    def in_state(self, state: str, files: Mapping[str, str]) -> Version | None:
        """Return the first version of these files, of whatever run, that is in a state."""
        return self._first(f"tags.`{STATE}` = '{state}'", files)

    def create(self, source: str, run_id: str, tags: Mapping[str, str]) -> Version:
        """Make a version, with its tags, in one transaction."""
        if self._model() is None:
            self._create_model()
        made = self._client.create_model_version(
            self._name,
            source,
            run_id,
            tags=dict(tags),
            model_id=source.removeprefix("models:/"),
            await_creation_for=0,
        )
        return self._read(made)

    def tag(self, version: Version, tags: Mapping[str, str]) -> None:
        """Set those tags that are not so yet."""
        for name, value in tags.items():
            if version.tags.get(name) != value:
                self._client.set_model_version_tag(self._name, str(version.number), name, value)

    def point(self, alias: str, number: int | None) -> None:
        """Give the alias to a version; None: take it away."""
        if number is None:
            self._client.delete_registered_model_alias(self._name, alias)
        else:
            self._client.set_registered_model_alias(self._name, alias, str(number))

    def describe(self, number: int) -> Version:
        """Write the description that the tags of a version make, and return the version."""
        made = self._client.get_model_version(self._name, str(number))
        version = self._read(made)
        if made.description != (text := describe(version)):
            self._client.update_model_version(self._name, str(number), text)
        return version

    def journal(self) -> Move | None:
        """Return the move that is under way, or was when its process was killed."""
        model = self._model()
        text = None if model is None else model.tags.get(_JOURNAL)
        return None if text is None else Move.from_text(text)

    def write_journal(self, move: Move) -> None:
        """Say that a move begins."""
        self._client.set_registered_model_tag(self._name, _JOURNAL, move.as_text())

    def clear_journal(self) -> None:
        """Say that no move is under way."""
        with _absence_is_none():
            self._client.delete_registered_model_tag(self._name, _JOURNAL)

    def _first(self, which: str, files: Mapping[str, str]) -> Version | None:
        query = f"name = '{self._name}' and {which}"
        found = map(self._read, self._client.search_model_versions(query))
        return min((one for one in found if one.files == files), key=_number, default=None)

    def _model(self) -> RegisteredModel | None:
        with _absence_is_none():
            return self._client.get_registered_model(self._name)
        return None

    def _create_model(self) -> None:
        try:
            self._client.create_registered_model(self._name, description=_ABOUT)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":  # another machine was faster
                raise

    def _read(self, found: ModelVersion) -> Version:
        number = int(found.version)
        url = f"{self._ui}/#/models/{self._name}/versions/{number}"
        return Version(number, found.run_id or "", found.source or "", dict(found.tags), url)


@contextmanager
def _absence_is_none() -> Iterator[None]:
    try:
        yield
    except MlflowException as error:
        if error.error_code != _ABSENT:
            raise


def _number(version: Version) -> int:
    return version.number
