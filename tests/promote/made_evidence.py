"""Evidence made of random numbers, for the tests of the gate."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from pydantic import TypeAdapter

from flows.command import CONF
from loraflow.config.nightly import GateConfig
from loraflow.promote.gate.decide import decide
from loraflow.promote.gate.decision import (
    ArmEvidence,
    Evidence,
    GateEvidence,
    Guard,
    JudgeEvidence,
    LeakEvidence,
)

Change = Callable[[dict[str, Any]], dict[str, Any]]
KINDS = ("arithmetic", "common_sense", "knowledge", "language", "reading")
DIGEST = "5d41402abc4b2a76b9719d911017c592"


def gate(choice: str = "default", **changes: Any) -> GateConfig:
    """A choice of conf/gate, with changes."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        found = OmegaConf.to_container(compose(overrides=[f"+gate={choice}"]).gate)
    return replace(TypeAdapter(GateConfig).validate_python(found), **changes)


def without(*guards: str) -> GateConfig:
    """The default gate without some guards."""
    found = gate()
    return replace(found, guards=found.guards | dict.fromkeys(guards))


def night(
    rows: int = 100, *, gain: float = 0.0, seed: int = 0, noise: float = 0.1, **changes: Any
) -> Evidence:
    """Two arms that share how hard each row is; the challenger gains `gain` in every measure."""
    generator = np.random.default_rng(seed)
    ease = generator.beta(2, 5, rows)
    tokens = generator.integers(4, 60, rows)
    found = Evidence(
        "version 3",
        _arm(generator, ease, tokens, 0.0, noise),
        _arm(generator, ease, tokens, gain, noise),
        JudgeEvidence("法官", trusted=True, own=False, same_card=True),
        LeakEvidence("remove", 3, 0),
        GateEvidence(DIGEST, DIGEST, rows),
    )
    return replace(found, **changes)


def _arm(generator: Any, ease: Any, tokens: Any, gain: float, noise: float) -> ArmEvidence:
    rows = len(ease)
    score = np.clip(ease + gain + generator.normal(0, noise, rows), 0, 1)
    loss = np.maximum(0.01, 3 - 2 * ease - gain + generator.normal(0, noise, rows))
    right = generator.random(rows) < np.clip(ease + gain, 0, 1)
    length = generator.normal(60, 10, rows)
    items = tuple(
        {
            "id": f"行{row}",
            "rougeL": float(score[row]),
            "exact_match": float(right[row]),
            "loss": float(loss[row]),
            "tokens": int(tokens[row]),
            "judge_rating": float(1 + 9 * score[row]),
            "answer_characters": int(length[row]),
            "reference_characters": 60,
            "refusal": 0.0,
            "empty": 0.0,
        }
        for row in range(rows)
    )
    probes = tuple(
        {"id": f"{kind}-{at}", "kind": kind, "choice_correct": float(generator.random() < chance)}
        for kind in KINDS
        for at, chance in enumerate(np.random.default_rng(at_kind(kind)).choice([0.05, 0.95], 24))
    )
    return ArmEvidence(items, probes, {"task": "sft", "evaluate": {"max_new_tokens": 64}})


def at_kind(kind: str) -> int:
    """A seed of the kind's own."""
    return KINDS.index(kind)


def changed(evidence: Evidence, change: Change, *, probes: bool = False) -> Evidence:
    """The same with each of the challenger's items, or probes, changed."""
    arm = evidence.challenger
    if probes:
        asked = tuple(change(dict(row)) for row in arm.probes or ())
        return replace(evidence, challenger=replace(arm, probes=asked))
    items = tuple(change(dict(row)) for row in arm.items)
    return replace(evidence, challenger=replace(arm, items=items))


def found_by(name: str, evidence: Evidence, settings: GateConfig | None = None) -> Guard:
    """What one guard found."""
    decision = decide(evidence, settings or gate())
    return next(guard for guard in decision.guards if guard.name == name)
