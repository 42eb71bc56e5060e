"""The server: what it serves under which names, how much at once, who gets the challenger."""

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.config.values import STRICT, PositiveFloat, PositiveInt, Text, UserPath

Port = Annotated[int, Field(ge=0, le=65535, strict=True)]  # 0: any that is free
Temperature = Annotated[float, Field(ge=0, le=2)]


@dataclass(frozen=True, config=STRICT)
class LimitsConfig:
    """What a client may ask for; more is refused, and says so."""

    queue: PositiveInt  # requests that wait; one more gets 429
    body_bytes: PositiveInt
    prompt_tokens: PositiveInt | None  # null: what the model can read
    max_tokens: PositiveInt  # of an answer
    seconds: PositiveFloat  # for an answer, the wait for its turn included


@dataclass(frozen=True, config=STRICT)
class AnswersConfig:
    """What a request means that does not say it itself."""

    max_tokens: PositiveInt
    temperature: Temperature  # 0 takes the likeliest token, as the evaluation does


@dataclass(frozen=True, config=STRICT)
class TrafficConfig:
    """Who is answered by the candidate, and how that is compared with the control."""

    mode: Literal["off", "split", "shadow"]
    control: Text  # a name that the server serves
    candidate: Text
    share: Annotated[float, Field(gt=0, lt=1)]  # of users that the candidate answers
    salt: Text  # another one deals users out anew


@dataclass(frozen=True, config=STRICT)
class ServeConfig:
    """One server."""

    host: Text
    port: Port
    registered: Text | None  # registered model whose aliases are names; null: none
    adapters: dict[Text, Text]  # more names, and what each means
    poll_seconds: PositiveFloat  # between looks at the aliases
    answers_at_once: PositiveInt
    folder: UserPath  # log of requests and ratings, and adapters that were fetched
    log: bool  # requests and answers, for A/B tests and as data
    limits: LimitsConfig
    answers: AnswersConfig
    traffic: TrafficConfig
