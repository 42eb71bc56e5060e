"""An adapter as chat, export and the server get it: files, and the config of its training."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from loraflow.config import TemplateConfig
from loraflow.errors import UserError
from loraflow.files import hash_content
from loraflow.model.trained import adapter_of, whole_model_of

WEIGHTS = "adapter_model.safetensors"
CONFIG = "adapter_config.json"
_TEMPLATE = TypeAdapter(TemplateConfig)
_PICKLED = (".bin", ".pt", ".pth", ".pkl", ".ckpt")


@dataclass(frozen=True)
class Adapter:
    """What is put on a base model; or the base alone."""

    source: str  # as asked for: champion, version:3, run:ID, a folder, base
    folder: Path | None  # with PEFT's files, or those of a whole model; None: the base alone
    digest: str  # of the files that are loaded; two of the same digest answer the same
    settings: Mapping[str, Any] | None  # the training's config; None: nobody knows it
    run_id: str | None = None
    base_revision: str | None = None  # of the base it was trained on; None: nobody knows it
    version: int | None = None  # of the registered model
    registered: str | None = None  # what that one is called

    @property
    def is_whole_model(self) -> bool:
        """Tell whether all weights were trained, so that there is no adapter in it."""
        return self.folder is not None and adapter_of(self.folder) is None

    @property
    def template(self) -> TemplateConfig | None:
        """Return the template of its training; None: nobody knows it.

        Raises:
            UserError: if the run is so old that its config has another shape.
        """
        section = (self.settings or {}).get("template")
        try:
            return None if section is None else _TEMPLATE.validate_python(section)
        except ValidationError as error:
            fault = error.errors()[0]
            key = ".".join(map(str, ("template", *fault["loc"])))
            raise UserError(
                f"{self.source}: the config of its run has {key}={fault['input']!r}, which this "
                f"version of loraflow cannot read ({fault['msg']}); train it again"
            ) from error

    @property
    def short(self) -> str:
        """Return what people and logs tell it by: the version, or the start of its digest."""
        if self.version is not None:
            return f"version {self.version}"
        return self.digest[:12]


BASE = Adapter("base", None, "base", None)


def require_base(adapter: Adapter, revision: str) -> None:
    """Refuse an adapter that was trained on another base than the one of `revision`.

    Raises:
        UserError: says so; where nobody knows what it was trained on, nothing.
    """
    if adapter.base_revision not in (None, revision):
        raise UserError(
            f"{adapter.source} was trained on another base model than is served; set model=... "
            "to that of its training"
        )


def loaded_files(source: str, folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file in `folder` that is loaded.

    Raises:
        UserError: if there is neither an adapter nor a model in safetensors.
    """
    whole = whole_model_of(folder)
    if whole is not None:
        files = sorted(whole.glob("*.safetensors"))
    else:
        adapter = adapter_of(folder)
        if adapter is None:
            raise UserError(
                f"{source} holds no {CONFIG}; name a folder that PEFT's save_pretrained wrote, "
                "run:ID, version:N or champion"
            )
        files = [adapter / CONFIG, adapter / WEIGHTS]
    if not files or not all(file.is_file() for file in files):
        raise UserError(
            f"{source} holds no weights in safetensors{_pickled(folder)}; other formats can hide "
            "code and are not loaded: save it with safe_serialization=True"
        )
    return {file.name: hash_content(file) for file in files}


def digest_of(files: Mapping[str, str]) -> str:
    """Return one digest for the digests of files."""
    return hashlib.sha256(json.dumps(dict(files), sort_keys=True).encode()).hexdigest()


def _pickled(folder: Path) -> str:
    found = sorted(path.name for path in folder.rglob("*") if path.suffix in _PICKLED)
    return f", only {found[0]}" if found else ""
