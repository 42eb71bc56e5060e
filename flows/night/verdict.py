"""What becomes of a trained challenger: compared, decided on, registered, promoted or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flows.evaluation import run_evaluation
from flows.night.tonight import Tonight, step
from flows.pipeline import Finished, Ready
from flows.stages import DataOutputs
from loraflow.config.nightly import Outcome
from loraflow.plan.evaluation import plan_evaluation
from loraflow.promote.gate.gate_set import GateSet

if TYPE_CHECKING:
    from loraflow.evaluate.outputs import ArmOutputs
    from loraflow.promote.gate.decision import Decision
    from loraflow.promote.registry.version import Version


@dataclass(frozen=True)
class Challenger:
    """What was trained tonight, on what, and measured on the gate set."""

    ready: Ready
    data: DataOutputs
    done: Finished
    gate: GateSet
    drift: Path | None  # output of that stage, if it ran

    @property
    def weights(self) -> Path:
        """Return what a version holds: the adapter, or the model if all of it was trained."""
        from loraflow.model.trained import adapter_of, whole_model_of

        folder = whole_model_of(self.done.trained) or adapter_of(self.done.trained)
        if folder is None:
            raise ValueError(f"{self.done.trained} holds nothing that was trained")
        return folder


def settle(tonight: Tonight, challenger: Challenger) -> tuple[Outcome, str]:
    """Decide on a challenger, and carry it out; return how the night ends, and why.

    Killed anywhere in here, the next start comes to the same decision and goes on.
    """
    from loraflow.promote.registry.version import digests_of

    champion, files = tonight.registry.champion(), digests_of(challenger.weights)
    tonight.diary.champion = None if champion is None else champion.number
    if champion is not None and champion.files == files:
        return _again(tonight, champion)
    if (retired := tonight.registry.retired(files)) is not None:
        return "kept", _retired(tonight, retired)
    decision = step("decide", _decide, tonight, challenger, champion)
    step("promote" if decision.promote else "keep", _carry_out, tonight, challenger, decision)
    return "promoted" if decision.promote else "kept", decision.sentence


def _again(tonight: Tonight, champion: "Version") -> tuple[Outcome, str]:
    """End a night whose challenger is the champion: compared with itself it could only lose.

    A promotion that no night has recorded, since it was killed or its records are lost, this one
    records.
    """
    from loraflow.tracking.decision import fetch_decision

    number = tonight.diary.version = champion.number
    moves = [one for one in tonight.line.nights() if one.outcome in ("promoted", "rolled_back")]
    if any(one.version == number for one in moves):
        return "kept", f"the same weights came out as those of version {number}, the champion"
    decision = fetch_decision(tonight.request.config.tracking, champion.run_id).decision
    tonight.diary.decision = decision.as_dict()
    return "promoted", decision.sentence


def _retired(tonight: Tonight, version: "Version") -> str:
    """Say why a night leaves it at what was decided on the same weights."""
    tonight.diary.version = version.number
    return (
        f"the same weights came out as those of version {version.number}, which was "
        f"{version.state} ({version.history[-1]}); only a person brings it back: "
        f"make rollback ARGS='version={version.number} reason=\"...\"'"
    )


def _decide(tonight: Tonight, challenger: Challenger, champion: "Version | None") -> "Decision":
    """Compare the challenger with the champion, or with the base in the first night."""
    from loraflow.promote.gate.decide import decide
    from loraflow.promote.gate.decision import BASE_MODEL
    from loraflow.promote.gate.evidence import gather_evidence
    from loraflow.promote.gate.saved import Saved, save_decision

    outputs, gate, diary = challenger.done.outputs, tonight.request.gate, tonight.diary
    if outputs.tuned is None:
        raise ValueError("a night trains something")
    evidence = gather_evidence(
        outputs.base if champion is None else _measure(tonight, challenger, champion),
        outputs.tuned,
        prepared=challenger.data.prepared,
        gate=challenger.gate.digest,
        card=outputs.card,
        reference=BASE_MODEL if champion is None else f"version {champion.number}",
    )
    decision = decide(evidence, gate)
    save_decision(Saved(evidence, gate, decision), tonight.line.decision(diary.id))
    diary.decision = decision.as_dict()
    tonight.note()
    return decision


def _measure(tonight: Tonight, challenger: Challenger, champion: "Version") -> "ArmOutputs":
    """Measure the champion on tonight's gate set, by the libraries of tonight."""
    ready = challenger.ready
    start = tonight.fetch(ready.stages, champion)
    plan = plan_evaluation(
        ready.config,
        ready.stages.base,
        ready.judge,
        prepare=ready.plan.last.prepare,
        tokenize=ready.plan.last.tokenize,
        trained=start.key,
    )
    tonight.store.hold(*plan.stages().values())
    outputs = run_evaluation(
        ready.config,
        plan,
        ready.stages,
        judge=ready.judge,
        data=challenger.data,
        trained=start.folder,
    )
    if outputs.tuned is None:
        raise ValueError("a champion has been trained")
    return outputs.tuned


def _carry_out(tonight: Tonight, challenger: Challenger, decision: "Decision") -> None:
    """Register the challenger with the decision, and promote it if it is to be."""
    from loraflow.promote.registry.version import make_tags
    from loraflow.promote.tidy.keep import TRAIN
    from loraflow.tracking.decision import log_decision

    request, diary, plan = tonight.request, tonight.diary, challenger.ready.plan
    run_id = challenger.done.run_id
    log_decision(request.config.tracking, run_id, tonight.line.decision(diary.id), challenger.drift)
    tags = make_tags(
        decision.as_dict(),
        data=plan.last.prepare.digest,
        base_revision=challenger.ready.stages.base.revision,
        config=request.settings.digest,
    )
    version = tonight.registry.register(
        run_id, challenger.weights, {**tags, TRAIN: plan.last.train.digest}
    )
    diary.version = version.number
    if decision.promote:
        tonight.registry.promote(
            version, by=diary.by, reason=decision.sentence, over=diary.champion
        )
        diary.champion = version.number
    tonight.note()
