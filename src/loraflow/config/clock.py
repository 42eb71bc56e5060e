"""Time zones as the config names them."""

from functools import lru_cache
from typing import Annotated
from zoneinfo import available_timezones

from pydantic import AfterValidator
from pydantic_core import PydanticCustomError

from loraflow.errors import nearest


def known_timezone(name: str) -> str:
    """Return `name` if it is one of the IANA database.

    Raises:
        PydanticCustomError: with the nearest name.
    """
    if name not in _names():
        raise PydanticCustomError(
            "timezone",
            "is no time zone of the IANA database{close}; write it like Asia/Shanghai or UTC",
            {"close": nearest(name, sorted(_names()))},
        )
    return name


@lru_cache
def _names() -> frozenset[str]:
    return frozenset(available_timezones())


Timezone = Annotated[str, AfterValidator(known_timezone)]
