"""Turns a composed config into typed sections, or names every fault in it at once."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from loraflow.config import Config, DataConfig, ModelConfig
from loraflow.data.operators.table import operator_faults
from loraflow.errors import UserError, nearest

_SCHEMA = TypeAdapter(Config)


def load_config(settings: Mapping[str, Any]) -> Config:
    """Check `settings` (plain nested mappings) and return the typed config.

    Raises:
        UserError: lists every unknown key, wrong value and contradiction, each with its fix.
    """
    try:
        config = _SCHEMA.validate_python(settings)
    except ValidationError as error:
        faults = [_describe(details) for details in _one_per_key(error.errors())]
        raise UserError(_join(faults)) from error
    if faults := list(_contradictions(config)):
        raise UserError(_join(faults))
    return config


def dump_config(config: Config) -> dict[str, Any]:
    """Return `config` as plain JSON values, in the shape that `load_config` reads."""
    dumped: dict[str, Any] = _SCHEMA.dump_python(config, mode="json")
    return dumped


def flatten(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted keys and their values: what one would type on the command line."""
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if value and isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def known_keys(schema: Mapping[str, Any] | None = None) -> list[str]:
    """Return every dotted key of the schema, sections included."""
    schema = schema or _SCHEMA.json_schema()
    definitions = schema.get("$defs", {})

    def walk(node: Mapping[str, Any], prefix: str) -> Iterator[str]:
        for name, child in node.get("properties", {}).items():
            yield f"{prefix}{name}"
            section = definitions.get(child.get("$ref", "").rpartition("/")[2], {})
            yield from walk(section, f"{prefix}{name}.")

    return list(walk(schema, ""))


def _one_per_key(errors: list[ErrorDetails]) -> list[ErrorDetails]:
    """A union reports each of its branches; one fault a key is enough to mend it."""
    return list({_key(details): details for details in reversed(errors)}.values())[::-1]


def _key(details: ErrorDetails) -> str:
    known = set(known_keys())
    parts = [str(part) for part in details["loc"]]
    if details["type"] == "unexpected_keyword_argument":
        return ".".join(parts)
    while len(parts) > 1 and ".".join(parts) not in known:
        parts.pop()  # the branch of a union, or the position in a list
    return ".".join(parts)


# what pydantic calls the fault -> what is wanted, and the fix
_WANTED = {
    "greater_than_equal": "must be at least {ge}; set {key}={ge} or more",
    "greater_than": "must be above {gt}; set {key} to a larger number",
    "less_than": "must be below {lt}; set {key} to a smaller number",
    "int_parsing": "must be a whole number; set {key}=NUMBER",
    "int_type": "must be a whole number; set {key}=NUMBER",
    "int_from_float": "must be a whole number; set {key}=NUMBER",
    "float_parsing": "must be a number; set {key}=NUMBER",
    "float_type": "must be a number; set {key}=NUMBER",
    "finite_number": "must be finite; set {key}=NUMBER",
    "bool_parsing": "must be true or false; set {key}=true",
    "too_short": "is empty; set {key}=[NAME,NAME]",
    "string_too_short": "is empty; set {key}=TEXT",
    "string_type": "must be text; set {key}=TEXT",
    "missing": "has no value; set {key}=VALUE",
}


def _describe(details: ErrorDetails) -> str:
    key, value, context = _key(details), details["input"], details.get("ctx", {})
    kind = details["type"]
    if kind == "unexpected_keyword_argument":
        return f"{key} is not a key of the config{nearest(key, known_keys())}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        close = nearest(str(value), choices)
        return f"{key}={value!r} is unknown{close}; choose from {', '.join(choices)}"
    wanted = _WANTED[kind].format(key=key, **context) if kind in _WANTED else details["msg"]
    return f"{key}={value!r} {wanted}" if kind != "missing" else f"{key} {wanted}"


def _contradictions(config: Config) -> Iterator[str]:
    """Rules that span keys; each yields a message with key, value and fix."""
    yield from _data_contradictions(config.data)
    if error := _template_fault(config.template.chat_template):
        name = config.template.name
        yield f"template.chat_template of {name} is no Jinja: {error}; mend the file"
    yield from _model_contradictions(config.model)
    if re.search(r"://[^/@]*:[^/@]+@", config.tracking.uri):
        yield (
            "tracking.uri holds a password, which would be logged; keep it in the environment "
            "(MLFLOW_TRACKING_PASSWORD, or PGPASSWORD for a database)"
        )


def _data_contradictions(data: DataConfig) -> Iterator[str]:
    yield from operator_faults(data.clean)
    made = data.layout == "pydoc"
    if made and data.path is not None:
        yield (
            f"data.path={data.path} is not read by data.layout='pydoc'; "
            "choose data=file to read a file, or drop data.path"
        )
    if not made and data.path is None:
        yield f"data.path=null but data.layout={data.layout!r} reads a file; set data.path=FILE"
    if made != (data.instruction is not None):
        yield (
            f"data.instruction={data.instruction!r} does not go with data.layout={data.layout!r}: "
            "pydoc needs one, records of a file bring their own (null)"
        )
    if data.train_rows is not None and data.train_rows < data.min_train_rows:
        yield (
            f"data.train_rows={data.train_rows} is below "
            f"data.min_train_rows={data.min_train_rows}; lower the second to train on so few"
        )
    if data.weights is not None and len(data.weights) != len(data.path or []):
        yield (
            f"data.weights={data.weights} has {len(data.weights)} numbers for "
            f"{len(data.path or [])} paths; give each of data.path one"
        )
    if data.split.held_out_path is not None and data.split.stratify_by is not None:
        yield (
            f"data.split.stratify_by={data.split.stratify_by} chooses nothing, since "
            "data.split.held_out_path names the held-out rows; drop one of them"
        )


def _model_contradictions(model: ModelConfig) -> Iterator[str]:
    if model.source == "pypi":
        if model.file is None or model.sha256 is None:
            yield "model.file and model.sha256 are needed with model.source='pypi'; set both"
        if not re.fullmatch(r"[\w.-]+==[\w.]+", model.location):
            yield (
                f"model.location={model.location} is no NAME==VERSION of PyPI; "
                "for the hub: model=hub model.location=ID"
            )
    elif model.file is not None:
        yield f"model.file={model.file} is read with model.source='pypi' only; drop it"
    if model.sha256 is not None and model.source in ("hub", "folder"):
        yield f"model.sha256 is not checked with model.source={model.source!r}; drop it"
    if model.revision is not None and model.source != "hub":
        yield f"model.revision={model.revision} is used with model.source='hub' only; drop it"


def _template_fault(chat_template: str | None) -> str | None:
    try:
        jinja2.Environment().parse(chat_template or "")
    except jinja2.TemplateSyntaxError as error:
        return None if "generation" in str(error) else f"{error} (line {error.lineno})"
    return None


def _join(faults: list[str]) -> str:
    if len(faults) == 1:
        return faults[0]
    return "\n".join([f"the config has {len(faults)} faults", *(f"  {fault}" for fault in faults)])
