"""Where a judge is asked, and with which key."""

import ipaddress
import os
from urllib.parse import SplitResult, urlsplit

from loraflow.config import ApiConfig
from loraflow.errors import UserError

OPENAI = "https://api.openai.com/v1"


def address(settings: ApiConfig) -> str:
    """Return where to ask."""
    return settings.base_url or OPENAI


def read_key(settings: ApiConfig) -> str:
    """Return the key from the environment; an address of this machine needs none.

    Raises:
        UserError: for an address that is none, or a key that is missing or cannot be right.
    """
    parts = _parts(address(settings))
    key = os.environ.get(settings.key_env, "").strip()
    if not key and _is_loopback(parts.hostname or ""):
        return "no-key-needed"
    if not key:
        raise UserError(
            f"judge.api.key_env={settings.key_env}: this environment variable is not set; "
            f"put the key for {address(settings)} into it"
        )
    if not (key.isascii() and key.isprintable()):  # the client would show it in an exception
        raise UserError(
            f"judge.api.key_env={settings.key_env}: the key in it holds a character that no key "
            "has; copy it anew"
        )
    return key


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and parts.hostname and not parts.username
        good = good and parts.port != 0  # reading it checks that it is a number
    except ValueError:
        good = False
    if not good:
        shown = url.rpartition("@")[2]
        raise UserError(
            f"judge.api.base_url={shown!r} must begin with http:// or https:// and hold no "
            "password; write it as http://127.0.0.1:8000/v1"
        )
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
