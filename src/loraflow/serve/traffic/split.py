"""Deals users out to two arms: the same user always gets the same one, and none is favoured."""

import hashlib
from typing import Literal

from loraflow.config.serve import TrafficConfig

Arm = Literal["control", "candidate"]

_NAME_CHARACTERS = 24  # of the hash: 96 bits, so that no two users are taken for one
_PLACES = 2**64


def arm_of(user: str, traffic: TrafficConfig) -> Arm:
    """Return the arm of a user: a function of the name, the salt and the share alone.

    Who had the candidate keeps it when the share grows. Another salt deals all users out anew,
    independently. A request without a user is dealt out by its own id.
    """
    place = int.from_bytes(_digest("arm", traffic.salt, user)[:8], "big")
    return "candidate" if place < traffic.share * _PLACES else "control"


def hashed_user(user: str, traffic: TrafficConfig) -> str:
    """Return what the log calls a user; nobody ("") stays nobody.

    Who knows the salt can find out whether a given name is meant, and nobody else can.
    """
    if not user:
        return ""
    return _digest("user", traffic.salt, user).hex()[:_NAME_CHARACTERS]


def _digest(purpose: str, salt: str, user: str) -> bytes:
    """Hash the user under a key of its own for each purpose and salt."""
    key = hashlib.sha256(f"{purpose}\0{salt}".encode("utf-8", "surrogatepass")).digest()
    return hashlib.blake2b(user.encode("utf-8", "surrogatepass"), key=key).digest()
