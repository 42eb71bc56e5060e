"""Calls an OpenAI-compatible endpoint: at a bounded pace, again after faults, counting the cost."""

import json
from dataclasses import dataclass, replace
from threading import Event, Lock
from typing import Any

from loraflow.config import ApiConfig
from loraflow.errors import UserError
from loraflow.evaluate.judge.api import address, read_key
from loraflow.evaluate.judge.pace import Pace, asked_pause, back_off

_LONGEST_ASKED = 300.0  # seconds that a server may ask us to wait; past that the call has failed
_AGAIN = {408, 409, 429}  # besides 5xx
_SHOWN = 300  # characters of a reason


@dataclass(frozen=True)
class Usage:
    """What was asked of the endpoint so far."""

    requests: int = 0  # failed ones too
    input_tokens: int = 0
    output_tokens: int = 0
    uncounted: int = 0  # replies that did not say how many tokens they are
    cost: float = 0.0  # in the currency of the prices; of what was counted


class CallFailedError(Exception):
    """The endpoint gave no answer to one call, for the reason in the message."""


class _GarbledError(Exception):
    """A reply of status 200 that is no chat completion."""


class Endpoint:
    """A model behind an API. The key is read once and shown nowhere."""

    def __init__(self, settings: ApiConfig) -> None:
        """Read the key and make the client; nothing is sent.

        Raises:
            UserError: for a base_url that is none, or a key that is not there.
        """
        import openai  # noqa: PLC0415 - a second, which only this judge shall cost

        self._openai = openai
        self._settings = settings
        self._url = address(settings)
        self._key = read_key(settings)
        self._client = openai.OpenAI(
            api_key=self._key,
            base_url=self._url,
            timeout=settings.timeout_seconds,
            max_retries=0,  # here, so that a pause can be interrupted and the pace is kept
        )
        self._pace = Pace(settings.requests_per_minute)
        self._usage = Usage()
        self._lock = Lock()

    @property
    def usage(self) -> Usage:
        """What was asked so far, by all threads."""
        return self._usage

    def ask(self, system: str, user: str, stop: Event) -> str:
        """Return what the model says. `stop` ends the waiting between attempts.

        Raises:
            CallFailedError: after the last attempt, or at once if another would be of no use.
            UserError: for a fault that every call would meet.
        """
        reason = "no attempt"
        for attempt in range(1, self._settings.attempts + 1):
            if not self._pace.wait(stop):
                break
            try:
                return self._call(system, user)
            except (self._openai.APIError, _GarbledError) as error:
                reason = self._reason(error)
                pause = self._pause(error, attempt, reason)
            if pause is None or attempt == self._settings.attempts or stop.wait(pause):
                break
        raise CallFailedError(reason)

    def _call(self, system: str, user: str) -> str:
        messages: list[Any] = [{"role": "user", "content": _sayable(user)}]
        if system:
            messages.insert(0, {"role": "system", "content": _sayable(system)})
        self._count(requests=1)
        reply = self._client.chat.completions.with_raw_response.create(
            model=self._settings.model,
            messages=messages,
            temperature=0,
            max_tokens=self._settings.max_tokens,
        )
        return self._read(reply.http_response.content)

    def _read(self, content: bytes) -> str:
        try:
            body = json.loads(content)
            text = body["choices"][0]["message"].get("content") or ""
        except (ValueError, LookupError, TypeError, AttributeError):
            shown = content[:_SHOWN].decode("utf-8", "replace")
            raise _GarbledError(f"no chat completion, but {shown!r}") from None
        self._count_tokens(body.get("usage"))
        return str(text)

    def _pause(self, error: Exception, attempt: int, reason: str) -> float | None:
        """Return the seconds until the next attempt, None if it would be of no use."""
        if not isinstance(error, self._openai.APIStatusError):
            return back_off(attempt)
        self._stop_if_hopeless(error, reason)
        if error.status_code not in _AGAIN and error.status_code < 500:  # noqa: PLR2004 - HTTP
            return None
        asked = asked_pause(error.response.headers.get("retry-after"))
        if asked is not None and asked > _LONGEST_ASKED:
            return None
        return back_off(attempt) if asked is None else asked

    def _stop_if_hopeless(self, error: Any, reason: str) -> None:
        """Raise what every other call would meet too."""
        settings = self._settings
        if error.status_code in (401, 403):
            raise UserError(
                f"judge.api.key_env={settings.key_env}: {self._url} refuses the key in it "
                f"({reason}); put a valid key into that environment variable"
            ) from None
        if error.status_code == 404 or error.code == "model_not_found":  # noqa: PLR2004 - HTTP
            raise UserError(
                f"judge.api.model={settings.model!r} is not known at {self._url} ({reason}); name "
                "a model of its /models, or mend judge.api.base_url, which mostly ends in /v1"
            ) from None
        if error.code == "insufficient_quota":
            raise UserError(
                f"judge.api.key_env={settings.key_env}: the account has no credit left ({reason}); "
                "add some, or choose another judge; what was judged is kept"
            ) from None
        if error.param in ("temperature", "max_tokens"):
            raise UserError(
                f"judge.api.model={settings.model!r} does not take {error.param}, with which every "
                f"judge is asked ({reason}); choose another model"
            ) from None

    def _reason(self, error: Exception) -> str:
        """Say what is wrong in the server's words, without the key, which some servers repeat."""
        text = str(error) or type(error).__name__
        if isinstance(error, self._openai.APIStatusError):  # the client leaves some bodies out
            text = f"status {error.status_code}: {error.response.text.strip()}"
        return text.replace(self._key, "***")[:_SHOWN]

    def _count(self, **more: int | float) -> None:
        with self._lock:
            old = self._usage
            self._usage = replace(
                old, **{name: getattr(old, name) + number for name, number in more.items()}
            )

    def _count_tokens(self, usage: Any) -> None:
        try:
            read, written = int(usage["prompt_tokens"]), int(usage["completion_tokens"])
        except (TypeError, LookupError, ValueError):
            self._count(uncounted=1)
            return
        settings = self._settings
        millionths = read * settings.price_per_million_input
        millionths += written * settings.price_per_million_output
        self._count(input_tokens=read, output_tokens=written, cost=millionths / 1e6)


def _sayable(text: str) -> str:
    """Return the text without half surrogate pairs, which UTF-8 cannot hold."""
    return text.encode("utf-8", "replace").decode()
