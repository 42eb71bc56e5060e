"""What clients may ask: OpenAI's fields, so far as this server honours them."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator

from loraflow.serve.http.errors import bad_request, shown

_STOPS = 4  # as many as OpenAI takes
_STOP_CHARACTERS = 256
_INT64 = 2**63

_STRICT = ConfigDict(strict=True, extra="ignore")  # strict: "1" and true are not 1


def _joined(content: object) -> object:
    """Join text parts by line ends, as vLLM does; leave a text as it is."""
    if not isinstance(content, list):
        return content
    for at, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind != "text" or not isinstance(part.get("text"), str):
            named = shown(kind) if isinstance(kind, str) else "something else"
            raise ValueError(
                f'part {at} must be {{"type": "text", "text": "..."}}, got {named}; '
                "this model reads text alone"
            )
    return "\n".join(part["text"] for part in content)


def _listed(stop: object) -> object:
    return [stop] if isinstance(stop, str) else stop


_TEXT_PART = {
    "type": "object",
    "properties": {"type": {"const": "text"}, "text": {"type": "string"}},
    "required": ["type", "text"],
}
_Content = Annotated[
    str,
    BeforeValidator(_joined),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": _TEXT_PART}]}),
]
_Stop = Annotated[str, Field(min_length=1, max_length=_STOP_CHARACTERS)]
_Stops = Annotated[
    list[_Stop],
    Field(max_length=_STOPS),
    BeforeValidator(_listed),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": _STOP_CHARACTERS},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": _STOP_CHARACTERS},
                    "maxItems": _STOPS,
                },
            ]
        }
    ),
]
_Tokens = Annotated[int, Field(ge=1)]
_User = Annotated[str, Field(max_length=512)]


class ChatMessage(BaseModel):
    """One turn of a conversation."""

    model_config = _STRICT

    role: Literal["system", "developer", "user", "assistant"]
    content: _Content

    @model_validator(mode="before")
    @classmethod
    def _refuse_calls(cls, value: object) -> object:
        if isinstance(value, dict) and (value.get("tool_calls") or value.get("function_call")):
            raise ValueError("calls of tools are not supported")
        return value


class StreamOptions(BaseModel):
    """What a stream tells besides the answer."""

    model_config = _STRICT

    include_usage: bool | None = None


class ChatRequest(BaseModel):
    """A conversation to answer."""

    model_config = _STRICT

    model: str
    messages: Annotated[list[ChatMessage], Field(min_length=1)]
    max_completion_tokens: _Tokens | None = None
    max_tokens: _Tokens | None = None  # its older name
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-_INT64, lt=_INT64)] | None = None
    stop: _Stops | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: _User | None = None
    safety_identifier: _User | None = None  # its newer name

    @model_validator(mode="after")
    def _check_options(self) -> "ChatRequest":
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options is only for stream=true")
        return self

    def conversation(self) -> list[dict[str, str]]:
        """Return the messages as templates know them."""
        return [
            {
                "role": "system" if message.role == "developer" else message.role,
                "content": message.content,
            }
            for message in self.messages
        ]


class FeedbackRequest(BaseModel):
    """What a user says of an answer."""

    model_config = _STRICT

    id: Annotated[str, Field(min_length=1, max_length=100)]
    rating: Literal["up", "down"] | None = None
    text: Annotated[str, Field(max_length=10_000)] | None = None
    better: Annotated[str, Field(max_length=100_000)] | None = None  # what it should have been

    @model_validator(mode="after")
    def _check_anything(self) -> "FeedbackRequest":
        if not (self.rating or self.text or self.better):
            raise ValueError("one of rating, text and better must say something")
        return self


def refuse_unsupported(value: Mapping[str, Any]) -> None:
    """Refuse fields that would change the answer if they were honoured, unless they ask nothing.

    Raises:
        ApiError: names the field.
    """
    for field, harmless in _HARMLESS.items():
        sent = value.get(field)
        if sent is not None and not any(_is_same(sent, allowed) for allowed in harmless):
            only = f"; only {harmless[0]!r} is taken" if harmless else ""
            raise bad_request(
                f"{field} is not supported by this server{only}; leave it out.",
                field,
                "unsupported_parameter",
            )


def _is_same(sent: object, allowed: object) -> bool:
    return sent == allowed and isinstance(sent, bool) == isinstance(allowed, bool)


# Fields of OpenAI's and vLLM's APIs, and the values with which they ask for nothing.
_HARMLESS: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "tools": ([],),
    "tool_choice": ("none", "auto"),
    "functions": ([],),
    "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "logit_bias": ({},),
    "presence_penalty": (0,),
    "frequency_penalty": (0,),
    "repetition_penalty": (1,),
    "top_k": (-1, 0),
    "min_p": (0,),
    "modalities": (["text"],),
    "audio": (),
    "reasoning_effort": ("none",),
    "verbosity": ("medium",),
    "web_search_options": (),
    "best_of": (1,),
    "use_beam_search": (False,),
    "length_penalty": (1,),
    "echo": (False,),
    "prompt_logprobs": (0,),
    "min_tokens": (0,),
    "ignore_eos": (False,),
    "stop_token_ids": ([],),
    "continue_final_message": (False,),
    "chat_template": (),
    "chat_template_kwargs": ({},),
    "structured_outputs": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_choice": (),
    "guided_grammar": (),
}
