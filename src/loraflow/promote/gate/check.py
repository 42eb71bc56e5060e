"""Finds before a night begins why its challenger could never be promoted, or not be judged."""

from collections.abc import Iterator

from loraflow.config import ANSWERED, Config
from loraflow.config.nightly import GateConfig
from loraflow.promote.gate.decide import gate_faults

_OF_PROBES = ("forgetting", "old_tasks")
_OF_ANSWERS = ("refusals", "answer_length")


def night_faults(gate: GateConfig, config: Config) -> list[str]:
    """Return where the gate's settings have a fault, or ask for what the config does not measure.

    Each fault names the key, its value and the fix.
    """
    return [*gate_faults(gate), *_unmeasured(gate, config), *_unjudged(gate, config)]


def _unmeasured(gate: GateConfig, config: Config) -> Iterator[str]:
    task, probes = config.train.task, config.evaluate.probes
    on = [name for name in (*_OF_PROBES, *_OF_ANSWERS) if gate.guards.get(name) is not None]
    if task not in ANSWERED:
        if on:
            yield (
                f"gate.guards.{on[0]} looks at answers and probes, and train.task={task!r} trains "
                "a model that writes none; choose gate=without_answers"
            )
    elif not probes and (asked := [name for name in on if name in _OF_PROBES]):
        yield (
            f"gate.guards.{asked[0]} needs probes, and evaluate.probes=[]; set evaluate.probes=[en]"
            f" or {' '.join(f'gate.guards.{name}=null' for name in asked)}"
        )


def _unjudged(gate: GateConfig, config: Config) -> Iterator[str]:
    judge = config.judge
    if gate.metric != "judge_rating":
        return
    if judge.kind == "none" or not judge.held_out or config.train.task not in ANSWERED:
        yield (
            "gate.metric=judge_rating needs a judge of held-out rows; set "
            "judge=local_other or judge=openai with judge.held_out=true, or another gate.metric"
        )
    elif judge.kind == "local" and judge.model is None:
        yield (
            "gate.metric=judge_rating and judge.model=null: the base model finds its own answers "
            "likely, so its ratings never promote; choose judge=local_other or judge=openai"
        )
