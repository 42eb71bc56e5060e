"""Deals users out to two arms: the same user always gets the same one, and none is favoured."""

import hashlib
from typing import Literal

from loraflow.config.serve import TrafficConfig

Arm = Literal["control", "candidate"]

_NAME_CHARACTERS = 24  # of the hash: 96 bits, so that no two users are taken for one
_SALT_CHARACTERS = 8  # of its digest: enough to tell a few salts apart
_PLACES = 2**64


def arm_of(user: str, traffic: TrafficConfig) -> Arm:
    """Return the arm of a user: a function of the name, the salt and the share alone.

    Who had the candidate keeps it when the share grows. Another salt deals all users out anew,
    independently.
    """
    place = int.from_bytes(_digest("arm", traffic.salt, user)[:8], "big")
    return "candidate" if place < traffic.share * _PLACES else "control"


def hashed_user(user: str, traffic: TrafficConfig) -> str:
    """Return what the log calls a user.

    Who knows the salt can find out whether a given name is meant, and nobody else can.
    """
    return _digest("user", traffic.salt, user).hex()[:_NAME_CHARACTERS]


def deal_of(traffic: TrafficConfig) -> str:
    """Return how requests are dealt out, as the log notes it: `split 0.1 3f2a91bc`.

    While it is the same, a user has one hash and one arm.
    """
    share = f" {traffic.share}" if traffic.mode == "split" else ""
    return f"{traffic.mode}{share} {salt_of(traffic)}"


def share_of(deal: str) -> float | None:
    """Return the candidate's share of a deal; None where nothing is split, or it was not noted."""
    mode, *more = deal.split(" ")
    return float(more[0]) if mode == "split" else None


def salt_of(traffic: TrafficConfig) -> str:
    """Return what a deal calls its salt: a digest, the last word of it."""
    return _digest("salt", traffic.salt, "").hex()[:_SALT_CHARACTERS]


def _digest(purpose: str, salt: str, user: str) -> bytes:
    """Hash the user under a key of its own for each purpose and salt."""
    key = hashlib.sha256(f"{purpose}\0{salt}".encode("utf-8", "surrogatepass")).digest()
    return hashlib.blake2b(user.encode("utf-8", "surrogatepass"), key=key).digest()
