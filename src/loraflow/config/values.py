"""What values of the config may be: whole numbers, shares, seeds, paths."""

from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

STRICT = ConfigDict(extra="forbid")

PositiveInt = Annotated[int, Field(ge=1, strict=True)]  # strict: true is not 1
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Index = Annotated[int, Field(ge=0, strict=True)]
Fraction = Annotated[float, Field(ge=0, lt=1)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Text = Annotated[str, Field(min_length=1)]


def expand_user(path: object) -> object:
    """Put the user's folder for ~."""
    if not path:
        raise ValueError("must be a path")
    if not isinstance(path, str):
        return path
    try:
        return Path(path).expanduser()
    except RuntimeError as error:  # ~name of a user who does not exist
        raise ValueError(str(error)) from error


def as_list(value: object) -> object:
    """Let a single text stand for a list of one."""
    return [value] if isinstance(value, str) else value


UserPath = Annotated[Path, BeforeValidator(expand_user)]
Texts = Annotated[list[Text], Field(min_length=1), BeforeValidator(as_list)]
