"""Tells people and programs how a night ended. A hook that fails is a warning, nothing more.

Neither the address of a webhook nor what a command prints is ever logged: both hold secrets.
"""

import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from html import escape
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from loraflow.config.nightly import HookConfig
from loraflow.page.text import visible
from loraflow.promote.record import NightRecord
from loraflow.tracking.reason import short_reason

_log = logging.getLogger(__name__)
_READ = 4_096  # bytes of an answer


class _HookError(Exception):
    """What went wrong, in words that hold no secret."""


def notify(hooks: Mapping[str, HookConfig], record: NightRecord, page: Path | None) -> None:
    """Run the hooks that wait for this outcome; `page` is the history of nights.

    A command gets the record as JSON on standard input, and LORAFLOW_... variables; a webhook gets
    a POST of JSON in the form that its service reads.
    """
    told = _without_secrets(record)
    for name, hook in hooks.items():
        if record.outcome in hook.on:
            try:
                if hook.command:
                    _run(hook.command, told, page, patience=hook.timeout_seconds)
                if hook.webhook:
                    body = _FORMATS[hook.format](told, page)
                    _post(hook.webhook, body, patience=hook.timeout_seconds)
            except _HookError as error:
                _log.warning("night.hooks.%s failed: %s; the night is not affected", name, error)


def _message(record: NightRecord, page: Path | None) -> str:
    """Return the night in a few lines of text."""
    champion = "the base model" if record.champion is None else f"version {record.champion}"
    lines = [
        f"loraflow: {record.outcome.replace('_', ' ')} ({record.id})",
        record.reason,
        f"Champion: {champion}",
        *([f"MLflow: {record.url}"] if record.url else []),
        *([f"History: {page}"] if page is not None else []),
    ]
    return "\n".join(lines)


def _without_secrets(record: NightRecord) -> NightRecord:
    """Mask what an error may have quoted; a half surrogate or a null byte would not be sent."""
    reason, url, by = (short_reason(visible(one)) for one in (record.reason, record.url, record.by))
    return replace(record, reason=reason, url=url, by=by)


def _run(
    command: Sequence[str], record: NightRecord, page: Path | None, *, patience: float
) -> None:
    """Run a command without a shell, in a session of its own, which ends when time is up."""
    try:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **_variables(record, page)},
            start_new_session=True,
        )
    except OSError as error:
        raise _HookError(f"its command cannot be started: {error.strerror}") from None
    try:
        process.communicate(json.dumps(asdict(record)).encode(), timeout=patience)
    except subprocess.TimeoutExpired:
        raise _HookError(f"its command took more than {patience:g} seconds") from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if process.returncode:
        raise _HookError(
            f"its command ended with exit code {process.returncode}; run it by hand to see why"
        )


def _variables(record: NightRecord, page: Path | None) -> dict[str, str]:
    values = {
        "OUTCOME": record.outcome,
        "NIGHT": record.id,
        "REASON": record.reason,
        "VERSION": record.version,
        "CHAMPION": record.champion,
        "URL": record.url,
        "PAGE": page,
    }
    return {f"LORAFLOW_{name}": "" if one is None else str(one) for name, one in values.items()}


def _post(variable: str, body: Mapping[str, Any], *, patience: float) -> None:
    address = os.environ.get(variable, "")
    if not address.lower().startswith(("http://", "https://")):
        raise _HookError(
            f"webhook={variable} must name an environment variable that holds an address with "
            "http:// or https://; set it where the night runs"
        )
    try:
        data = json.dumps(body).encode()
        request = Request(address, data, {"Content-Type": "application/json; charset=utf-8"})
        with build_opener(_NoRedirect).open(request, timeout=patience) as answer:
            refused = _refusal(answer.read(_READ))
    except HTTPError as error:
        with error:
            raise _HookError(f"the webhook answers with HTTP status {error.code}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise _HookError(f"the webhook cannot be reached ({type(error).__name__})") from None
    if refused:
        raise _HookError(f"the webhook refuses the message with code {refused}")


class _NoRedirect(HTTPRedirectHandler):
    """Takes a redirect for a failure: the record is for the address that was named."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _refusal(answer: bytes) -> int:
    """Return the error code that Feishu, DingTalk and WeCom send with status 200; 0 is none."""
    try:
        found = json.loads(answer)
    except (ValueError, RecursionError):
        return 0  # Slack says "ok"
    if not isinstance(found, dict):
        return 0
    codes = (found.get(name) for name in ("errcode", "code", "StatusCode"))
    return next((code for code in codes if isinstance(code, int) and code), 0)


_Format = Callable[[NightRecord, Path | None], dict[str, Any]]


def _json(record: NightRecord, page: Path | None) -> dict[str, Any]:
    whole = {"record": asdict(record), "page": None if page is None else str(page)}
    return {"text": _message(record, page), "outcome": record.outcome, **whole}


def _slack(record: NightRecord, page: Path | None) -> dict[str, Any]:
    return {"text": escape(_message(record, page), quote=False)}


def _feishu(record: NightRecord, page: Path | None) -> dict[str, Any]:
    return {"msg_type": "text", "content": {"text": _message(record, page)}}


def _dingtalk(record: NightRecord, page: Path | None) -> dict[str, Any]:
    return {"msgtype": "text", "text": {"content": _message(record, page)}}


# Feishu's and DingTalk's signed webhooks are not supported: choose the keyword "loraflow" there
_FORMATS: Mapping[str, _Format] = {
    "json": _json,
    "slack": _slack,
    "feishu": _feishu,
    "dingtalk": _dingtalk,
    "wecom": _dingtalk,
}
