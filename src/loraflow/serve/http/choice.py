"""Which name answers a request, for which arm of a comparison, and for whom it counts."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from loraflow.config.serve import TrafficConfig
from loraflow.serve.http.schema import ChatRequest
from loraflow.serve.names.names import DEFAULT
from loraflow.serve.traffic.split import arm_of, deal_of, hashed_user


@dataclass(frozen=True)
class Choice:
    """Who answers."""

    asked: str  # name in the request
    name: str  # name whose adapter answers
    arm: Literal["", "control", "candidate", "shadow"]
    user: str  # hashed
    deal: str  # how users are dealt out now


def choose(request: ChatRequest, header: str, traffic: TrafficConfig) -> Choice:
    """Deal a request for `default` out to an arm; every other name means itself.

    Args:
        request: may say who the user is
        header: x-user, for clients whose library has no field for it
        traffic: how requests are dealt out
    """
    user = request.safety_identifier or request.user or header or _of_conversation(request)
    hashed, deal = hashed_user(user, traffic), deal_of(traffic)
    if request.model != DEFAULT or traffic.mode == "off":
        return Choice(request.model, request.model, "", hashed, deal)
    arm = arm_of(user, traffic) if traffic.mode == "split" else "control"
    return Choice(request.model, getattr(traffic, arm), arm, hashed, deal)


def _of_conversation(request: ChatRequest) -> str:
    """Name an unnamed user by what the conversation began with, so that its later turns agree."""
    first = next((part.content for part in request.messages if part.role == "user"), "")
    return hashlib.sha256(first.encode()).hexdigest()
