"""A request's numbers in the engine's words, or why they cannot be met."""

from collections.abc import Sequence

from loraflow.config.serve import LimitsConfig, ServeConfig
from loraflow.serve.engine.wish import Wish
from loraflow.serve.http.errors import bad_request, too_long
from loraflow.serve.http.schema import ChatRequest

_CHARACTERS = 32  # a token has fewer on average in any text, long runs of spaces aside


def check_characters(request: ChatRequest, context: int) -> None:
    """Refuse what is far too long without the work of cutting it into tokens.

    Raises:
        ApiError: if no tokenizer could make it fit.
    """
    characters = sum(len(message.content) for message in request.messages)
    if characters > context * _CHARACTERS or len(request.messages) > context:
        raise too_long(
            f"This model's maximum context length is {context} tokens; {len(request.messages)} "
            f"messages of {characters} characters are longer. Shorten them."
        )


def make_wish(request: ChatRequest, prompt: list[int], context: int, config: ServeConfig) -> Wish:
    """Return what the engine shall do.

    Raises:
        ApiError: if prompt and answer do not fit, or are longer than is allowed.
    """
    _check_prompt(prompt, context, config.limits)
    temperature = request.temperature
    temperature = config.answers.temperature if temperature is None else temperature
    return Wish(
        prompt=prompt,
        max_tokens=_most_tokens(request, context - len(prompt), config),
        temperature=temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        seed=None if request.seed is None else request.seed % 2**63,  # what generators take
        stop=tuple(request.stop or ()),
    )


def _check_prompt(prompt: Sequence[int], context: int, limits: LimitsConfig) -> None:
    if not prompt:
        raise bad_request("messages: there is nothing to answer", "messages", "invalid_value")
    if len(prompt) >= context:
        raise too_long(
            f"This model's maximum context length is {context} tokens, of which the answer needs "
            f"some; the messages have {len(prompt)}. Shorten them."
        )
    if limits.prompt_tokens is not None and len(prompt) > limits.prompt_tokens:
        raise too_long(
            f"This server reads at most {limits.prompt_tokens} tokens; the messages have "
            f"{len(prompt)}. Shorten them."
        )


def _most_tokens(request: ChatRequest, room: int, config: ServeConfig) -> int:
    most = config.limits.max_tokens
    newer, older = request.max_completion_tokens, request.max_tokens
    field = "max_tokens" if newer is None else "max_completion_tokens"
    asked = older if newer is None else newer
    if asked is None:
        return min(config.answers.max_tokens, most, room)
    if asked > most:
        raise bad_request(
            f"{field} is too large: {asked}; this server writes at most {most}.",
            field,
            "invalid_value",
        )
    if asked > room:
        raise too_long(
            f"The model has room for {room} tokens behind these messages, and {field} asks for "
            f"{asked}. Shorten the messages, or ask for fewer."
        )
    return asked
