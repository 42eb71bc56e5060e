"""Every cleaning operator by its name in `conf/data/clean/`, and the faults of such a list."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from loraflow.data.operators.base import RowOperator
from loraflow.data.operators.language import Language
from loraflow.data.operators.markup import Html, Urls
from loraflow.data.operators.privacy import Pii
from loraflow.data.operators.quality import (
    Boilerplate,
    CutOff,
    EmptyOrEchoed,
    FlaggedWords,
    Length,
    Roles,
)
from loraflow.data.operators.repetition import CharacterRepetition, WordRepetition
from loraflow.data.operators.sets import ConflictingAnswers, ExactDuplicates, NearDuplicates
from loraflow.data.operators.text import Invisible, SeedCleanText, Unicode, Whitespace
from loraflow.errors import UserError, nearest

Clean = Mapping[str, Mapping[str, Any] | None]
"""`data.clean`: the parameters of each operator, in order; None leaves it out."""

ROW_OPERATORS: dict[str, type[Any]] = {  # recommended order: edit, then judge
    "roles": Roles,
    "unicode": Unicode,
    "html": Html,
    "urls": Urls,
    "invisible": Invisible,
    "whitespace": Whitespace,
    "pii": Pii,
    "seed_clean_text": SeedCleanText,
    "empty_or_echoed": EmptyOrEchoed,
    "length": Length,
    "boilerplate": Boilerplate,
    "flagged_words": FlaggedWords,
    "cut_off": CutOff,
    "character_repetition": CharacterRepetition,
    "word_repetition": WordRepetition,
    "language": Language,
}
SET_OPERATORS: dict[str, type[Any]] = {
    "exact_duplicates": ExactDuplicates,
    "near_duplicates": NearDuplicates,
    "conflicting_answers": ConflictingAnswers,
}
_OPERATORS = ROW_OPERATORS | SET_OPERATORS


def build_row_operators(clean: Clean) -> list[tuple[str, RowOperator]]:
    """Make the operators on single rows, in the order of `clean`.

    Raises:
        UserError: lists every fault of `clean`.
    """
    return [(name, operator) for name, operator in _build(clean) if name in ROW_OPERATORS]


def build_set_operators(clean: Clean) -> list[tuple[str, Any]]:
    """Make the parameters of the operators on all rows, in the order of `clean`.

    Raises:
        UserError: lists every fault of `clean`.
    """
    return [(name, operator) for name, operator in _build(clean) if name in SET_OPERATORS]


def operator_versions(clean: Clean) -> dict[str, int]:
    """Return the version of each operator that is switched on."""
    return {name: _OPERATORS[name].version for name in _enabled(clean)}


def operator_faults(clean: Clean) -> list[str]:
    """Return what is wrong with `clean`: key, value and fix of every fault."""
    faults = list(_misplaced(clean))
    for name, parameters in clean.items():
        if name not in _OPERATORS:
            faults.append(
                f"data.clean.{name} is no operator{nearest(name, list(_OPERATORS))}; "
                f"choose from {', '.join(_OPERATORS)}"
            )
        elif parameters is not None:
            faults += _faults_of(name, parameters)
    return faults


def _build(clean: Clean) -> Iterator[tuple[str, Any]]:
    if faults := operator_faults(clean):
        raise UserError("\n".join(faults))
    for name, parameters in _enabled(clean).items():
        yield name, TypeAdapter(_OPERATORS[name]).validate_python(dict(parameters))


def _enabled(clean: Clean) -> dict[str, Mapping[str, Any]]:
    return {name: parameters for name, parameters in clean.items() if parameters is not None}


def _misplaced(clean: Clean) -> Iterator[str]:
    """Operators on all rows run last, wherever they stand: the list should not say otherwise."""
    before = None
    for name in _enabled(clean):
        if name in SET_OPERATORS:
            before = before or name
        elif name in ROW_OPERATORS and before:
            yield (
                f"data.clean.{name} stands behind {before} but runs before it, as all operators on "
                f"single rows do; move {name} up in the file of conf/data/clean/"
            )


def _faults_of(name: str, parameters: object) -> Iterator[str]:
    key = f"data.clean.{name}"
    if not isinstance(parameters, Mapping):
        yield f"{key}={parameters!r} must be a mapping of parameters; set {key}={{}} or {key}=null"
        return
    try:
        TypeAdapter(_OPERATORS[name]).validate_python(dict(parameters))
    except ValidationError as error:
        first = {details["loc"][0]: details for details in reversed(error.errors())}
        for details in reversed(first.values()):  # one fault a parameter is enough to mend it
            yield _describe(name, parameters, details)


# what pydantic calls the fault -> what is wanted, and the fix
_WANTED = {
    "missing": "has too few values; set {key}=[VALUE,VALUE]",
    "too_short": "has too few values; set {key}=[VALUE,...]",
    "too_long": "has too many values; set {key}=[VALUE,VALUE]",
    "list_type": "must be a list; set {key}=[VALUE,...]",
    "tuple_type": "must be a list; set {key}=[VALUE,VALUE]",
    "int_type": "must be a whole number; set {key} to one",
    "float_type": "must be a number; set {key}=NUMBER",
    "float_parsing": "must be a number; set {key}=NUMBER",
    "string_type": "must be text; set {key} to one",
    "string_too_long": "must have at most {max_length} characters; set {key} to a shorter text",
    "greater_than_equal": "must be at least {ge}; set {key} to {ge} or more",
    "greater_than": "must be above {gt}; set {key} to a larger number",
    "less_than_equal": "must be at most {le}; set {key} to {le} or less",
    "less_than": "must be below {lt}; set {key} to a smaller number",
    "literal_error": "is unknown; choose from {expected}",
    "value_error": "{error}",
}


def _describe(name: str, parameters: Mapping[str, Any], details: ErrorDetails) -> str:
    parameter, *places = details["loc"]
    key, kind, context = f"data.clean.{name}.{parameter}", details["type"], details.get("ctx", {})
    if parameter not in parameters:
        return f"{key} has no value; set {key}=VALUE, or data.clean.{name}=null to leave it out"
    known = [field.name for field in fields(_OPERATORS[name])]
    if parameter not in known:
        return (
            f"{key} is no parameter of {name}{nearest(str(parameter), known)}; "
            f"it has {', '.join(known) or 'none'}"
        )
    value = parameters[str(parameter)]
    found = f"{key}={value!r}"
    if places and kind not in ("missing", "value_error"):
        found += f": {details['input']!r}"  # what is wrong inside the list
    wanted = _WANTED[kind].format(key=key, **context) if kind in _WANTED else details["msg"]
    return f"{found} {wanted}"
