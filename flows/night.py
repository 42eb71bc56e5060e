"""What a night does, in order: look, prepare, measure drift, train, compare, decide, promote."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from zoneinfo import ZoneInfo

from prefect import Task
from prefect.cache_policies import NO_CACHE

from flows.evaluation import find_models, run_evaluation
from flows.night_command import NightRequest
from flows.pipeline import Finished, Ready, get_ready, run_experiment
from flows.running import run_as_task
from flows.stages import Stages, Start, run_data_stages
from flows.sync import sync
from loraflow.config import Config
from loraflow.config.nightly import Outcome
from loraflow.data.prepare import prepare
from loraflow.errors import PassingError, RefusedData, UserError
from loraflow.plan.evaluation import plan_evaluation
from loraflow.plan.experiment import make_plan
from loraflow.preflight import check_machine
from loraflow.promote.gate.gate_set import GateSet, freeze_gate, read_gate
from loraflow.promote.line import Diary, Line, has_promoted
from loraflow.promote.new_data import settled_fingerprint, why_nothing_new
from loraflow.promote.registry.version import digests_of
from loraflow.store import Store, make_key

if TYPE_CHECKING:
    from loraflow.evaluate.outputs import ArmOutputs
    from loraflow.promote.gate.decision import Decision
    from loraflow.promote.registry.registry import Registry
    from loraflow.promote.registry.version import Version

log = logging.getLogger("loraflow")

Ended = tuple[Outcome, str]
"""How a night ends, and why."""

_MOVES: Sequence[Outcome] = ("promoted", "rolled_back")  # after which a version is champion

_Result = TypeVar("_Result")


def step(name: str, work: Callable[..., _Result], *values: Any) -> _Result:
    """Run a step that is no stage as a task of its own."""
    task = Task(work, name=name, task_run_name=name, persist_result=False, cache_policy=NO_CACHE)
    return task(*values)


class Night:
    """One night of a line. Run again after a fault or a kill, it goes on from the store."""

    def __init__(self, request: NightRequest, line: Line, diary: Diary) -> None:
        """Take a checked request; start nothing yet."""
        self._request = request
        self._line = line
        self._diary = diary
        self._store = Store(request.config.store)
        self._drift: Path | None = None  # output of that stage

    def run(self) -> Ended:
        """Do all that is left of the night."""
        champion = self._catch_up()
        if champion is not None and has_promoted(self._diary, champion.run_id):
            self._diary.version = champion.number
            return "promoted", (self._diary.decision or {})["sentence"]
        self._request = self._as_recommended()
        if why := step("look for new data", self._look):
            return "skipped", why
        try:
            check_machine(self._request.config)
            base, judge = find_models(self._request.config)
            stages = Stages(self._store, base, run_as_task)
            gate = self._gate(stages)
            self._sweep_if_due(gate)
            stages = replace(stages, start=self._start(stages))
            ready = get_ready(_on_gate(self._request.config, gate), stages, judge)
            data = run_data_stages(ready.config, ready.plan, stages)
        except RefusedData as refused:
            return "stopped", str(refused)
        self._note_data(ready, data.prepared)
        drifted = self._measure_drift(ready, data.prepared)
        if drifted and self._request.night.drift.action == "stop":
            return "stopped", drifted
        done = self._train(ready)
        champion = self._registry.champion()
        if champion is not None and champion.files == digests_of(_weights_of(done)):
            return self._champion_again(champion)
        decision = step("decide", self._decide, ready, gate, done, champion)
        step("promote" if decision.promote else "keep", self._settle, ready, done, decision)
        return "promoted" if decision.promote else "kept", decision.sentence

    def _catch_up(self) -> "Version | None":
        """Log what MLflow missed, finish a promotion that was cut short, return the champion.

        None: there is none yet, or MLflow is away.
        """
        sync(self._store.root)
        try:
            self._registry.repair()
            champion = self._registry.champion()
        except PassingError as error:
            log.warning("the night goes on without MLflow for now: %s", error)
            return None
        self._diary.champion = None if champion is None else champion.number
        if champion is not None:
            self._line.acknowledge(champion.number, champion.run_id)
        return champion

    @cached_property
    def _registry(self) -> "Registry":
        from loraflow.promote.registry.registry import Registry

        return Registry(self._request.config.tracking, self._request.night.name)

    def _as_recommended(self) -> NightRequest:
        """Return the request with what the last sweep recommends, if it is to go by that."""
        from loraflow.tracking.recommended import fetch_recommended

        request, night = self._request, self._request.night
        if night.settings == "config" and not night.sweep_on:
            return request
        recommended = fetch_recommended(request.config)
        if night.settings == "sweep" and not recommended:
            raise UserError(
                f"night.settings=sweep: no sweep over {request.config.model.name} has recommended "
                "anything; run make sweep first, or set night.settings=config"
            )
        return request.with_words(recommended)

    def _sweep_if_due(self, gate: GateSet) -> None:
        """Sweep first on the days that are for it, and go by what that recommends."""
        request = self._request
        today = datetime.now(ZoneInfo(request.schedule.timezone)).strftime("%A").lower()
        if today not in request.night.sweep_on:
            return
        self._sweep(request, gate)
        self._request = self._as_recommended()
        self._diary.data["settings"] = self._request.settings.digest
        self._line.note(self._diary)

    def _sweep(self, request: NightRequest, gate: GateSet) -> None:
        """Compare three ranks on rows held out for it; none of its trials sees the gate set."""
        from flows.sweep import sweep

        r = request.config.adapter.r
        ranks = ",".join(str(one) for one in sorted({max(1, r // 2), r, 2 * r}))
        words = [word for word in request.experiment_words if not word.startswith("adapter.r=")]
        apart = [*request.config.data.leak.benchmarks, str(gate.rows)]
        words += [f"data.leak.benchmarks={json.dumps(apart)}", "sweep=default"]
        sweep(f"{request.night.name}: around r={r}", [*words, f"adapter.r={ranks}"])

    def _look(self) -> str | None:
        """Say why there is nothing to do, if there is not."""
        request = self._request
        found = settled_fingerprint(request.config.data, request.night.settle_seconds)
        settings = request.settings.digest
        if why := why_nothing_new(found, settings, self._line.nights()):
            return why
        self._diary.data |= {"fingerprint": found, "settings": settings}
        self._line.note(self._diary)
        return None

    def _gate(self, stages: Stages) -> GateSet:
        """Return the frozen gate set; the first night takes it from the data, or the file named."""
        config, gate = self._request.config, self._request.gate
        if (frozen := read_gate(self._line.gate)) is not None:
            if frozen.asked != {"rows": gate.rows, "path": gate.path}:
                log.warning(
                    "gate.rows=%s and gate.path=%s change nothing: the gate set was frozen with "
                    "%s; night.name=NAME starts a new line",
                    gate.rows,
                    gate.path,
                    frozen.asked,
                )
            return frozen
        split = replace(
            config.data.split, held_out_rows=gate.rows, held_out_path=gate.path, stratify_by=None
        )
        config = replace(config, data=replace(config.data, split=split))
        keys = make_plan(config, stages.base).last
        work = partial(prepare, config.data, content=keys.data_fingerprint)
        prepared = stages.run(stages.store, keys.prepare, work, "gate set")
        return freeze_gate(prepared, self._line.gate, asked={"rows": gate.rows, "path": gate.path})

    def _start(self, stages: Stages) -> Start | None:
        """Return what the training goes on with: the champion, if it is to and there is one."""
        if self._request.night.start == "base":
            return None
        champion = self._registry.champion()
        return None if champion is None else self._fetch(stages, champion)

    def _fetch(self, stages: Stages, version: "Version") -> Start:
        """Copy an adapter of the registry to the store, where evaluation and training find it."""
        key = make_key("champion", 1, files=version.files)
        name = "adapter" if "adapter_config.json" in version.files else "model"

        def fetch(*, out: Path) -> dict[str, Any]:
            self._registry.fetch(version, out / name)
            return {"version": version.number}

        return Start(key, stages.run(stages.store, key, fetch))

    def _note_data(self, ready: Ready, prepared: Path) -> None:
        from loraflow.promote.gate.gate_set import count_new, count_removed

        before = self._rows_before()
        counts = self._store.result(ready.plan.last.prepare)["counts"]
        self._diary.data |= {
            "rows": counts["train"],
            "new_rows": count_new(prepared, before),
            "rejected": counts["rejected"],
            "gate_rows_removed": count_removed(prepared),
            "prepared": ready.plan.last.prepare.digest,
        }
        self._line.note(self._diary)

    def _rows_before(self) -> Path | None:
        """Return the prepared rows of the last training, if they are still there."""
        if (last := self._line.last_trained()) is None:
            return None
        before = self._store.root / "prepare" / str(last.data["prepared"])[:20]
        if before.is_dir():
            return before
        log.warning("the last training's rows are gone from %s: no drift is measured", before)
        return None

    def _measure_drift(self, ready: Ready, prepared: Path) -> str:
        """Compare with the rows of the last training; return what drifted, in a sentence."""
        before = self._rows_before()
        if before is None or before == prepared:
            return ""
        limit = self._request.night.drift.max_psi

        def work(*, out: Path) -> dict[str, Any]:
            from loraflow.promote.drift.measure import measure_drift
            from loraflow.promote.drift.report import write_drift

            drift = measure_drift(
                before / "train.parquet", prepared / "train.parquet", max_psi=limit
            )
            return write_drift(drift, out)

        reads = [ready.plan.last.prepare]
        key = make_key("drift", 1, reads=reads, before=before.name, max_psi=limit)
        folder = run_as_task(self._store, key, work)
        found = self._store.result(key)
        self._diary.drift |= found["values"]
        self._drift = folder
        self._line.note(self._diary)
        return str(found["sentence"]) if found["drifted"] else ""

    def _train(self, ready: Ready) -> Finished:
        """Train the challenger, measure it and the base, and have all of it in MLflow."""
        from loraflow.tracking.connection import Unreachable
        from loraflow.tracking.record import record_experiment

        done = run_experiment(
            ready,
            lambda run, ready, page: record_experiment(
                run, ready.config, ready.plan, self._store, base=ready.stages.base, page=page
            ),
            name=f"{self._request.night.name} {self._diary.id}",
        )
        if not done.is_logged:
            logged = sync(self._store.root).get(ready.plan.experiment.digest)
            if logged is None:
                raise Unreachable(
                    f"tracking.uri={ready.config.tracking.uri} does not answer; the challenger is "
                    "trained and in the store, and is decided on once the server is back"
                )
            done = replace(done, run_id=logged, is_logged=True)
        self._diary.run_id, self._diary.url = done.run_id, done.url
        self._line.note(self._diary)
        return done

    def _decide(
        self, ready: Ready, gate: GateSet, done: Finished, champion: "Version | None"
    ) -> "Decision":
        """Compare the challenger with the champion, or with the base in the first night."""
        from loraflow.promote.gate.decide import decide
        from loraflow.promote.gate.evidence import gather_evidence
        from loraflow.promote.gate.saved import Saved, save_decision

        challenger, card = done.outputs.tuned, done.outputs.card
        if challenger is None:
            raise ValueError("a night trains something")
        evidence = gather_evidence(
            done.outputs.base if champion is None else self._measure(ready, champion),
            challenger,
            prepared=self._store.folder(ready.plan.last.prepare),
            gate=gate.digest,
            card=card,
            reference="base model" if champion is None else f"version {champion.number}",
        )
        decision = decide(evidence, self._request.gate)
        save_decision(
            Saved(evidence, self._request.gate, decision), self._line.decision(self._diary.id)
        )
        self._diary.champion = None if champion is None else champion.number
        self._diary.decision = decision.as_dict()
        self._line.note(self._diary)
        return decision

    def _measure(self, ready: Ready, champion: "Version") -> "ArmOutputs":
        """Measure the champion on tonight's gate set, by the libraries of tonight."""
        config, stages, last = ready.config, ready.stages, ready.plan.last
        start = self._fetch(stages, champion)
        plan = plan_evaluation(
            config,
            stages.base,
            ready.judge,
            prepare=last.prepare,
            tokenize=last.tokenize,
            trained=start.key,
        )
        self._store.hold(*plan.stages().values())
        data = run_data_stages(config, ready.plan, stages)
        outputs = run_evaluation(
            config, plan, stages, judge=ready.judge, data=data, trained=start.folder
        )
        if outputs.tuned is None:
            raise ValueError("a champion has been trained")
        return outputs.tuned

    def _settle(self, ready: Ready, done: Finished, decision: "Decision") -> None:
        """Register the challenger with the decision, and promote it if it is to be.

        Killed anywhere in here, the next start comes to the same decision and goes on.
        """
        from loraflow.promote.registry.version import CHAMPION, REGISTERED, make_tags
        from loraflow.promote.tidy.keep import TRAIN
        from loraflow.tracking.decision import log_decision

        plan, tracking = ready.plan, self._request.config.tracking
        log_decision(tracking, done.run_id, self._line.decision(self._diary.id), self._drift)
        tags = make_tags(
            self._diary.decision or {},
            data=plan.last.prepare.digest,
            base_revision=ready.stages.base.revision,
            config=self._request.settings.digest,
        )
        version = self._registry.register(
            done.run_id, _weights_of(done), {**tags, TRAIN: plan.last.train.digest}
        )
        self._diary.version = version.number
        if decision.promote and version.state not in (REGISTERED, CHAMPION):
            raise UserError(
                f"version {version.number} of {self._registry.name} was champion before and is "
                f"{version.state}, so no night promotes it again; make rollback "
                f"ARGS='version={version.number} reason=...' does"
            )
        if decision.promote:
            self._registry.promote(
                version, by=self._diary.by, reason=decision.sentence, over=self._diary.champion
            )
            self._diary.champion = version.number
        self._line.note(self._diary)

    def _champion_again(self, champion: "Version") -> Ended:
        """End a night whose challenger is the champion: compared with itself it could only lose.

        What a night that was killed behind its promotion left unrecorded, this one records.
        """
        from loraflow.tracking.decision import fetch_decision

        number = self._diary.version = self._diary.champion = champion.number
        nights = self._line.nights()
        if any(one.version == number for one in nights if one.outcome in _MOVES):
            return "kept", f"the same weights came out as those of version {number}, the champion"
        decision = fetch_decision(self._request.config.tracking, champion.run_id).decision
        self._diary.decision = decision.as_dict()
        return "promoted", decision.sentence


def _weights_of(done: Finished) -> Path:
    """Return what a version holds: the adapter, or the model if all of it was trained."""
    from loraflow.model.load import adapter_of, whole_model_of

    folder = whole_model_of(done.trained) or adapter_of(done.trained)
    if folder is None:
        raise ValueError(f"{done.trained} holds nothing that was trained")
    return folder


def _on_gate(config: Config, gate: GateSet) -> Config:
    """Return the config in which the gate set is the held-out side."""
    split = replace(config.data.split, held_out_path=str(gate.rows), stratify_by=None)
    return replace(config, data=replace(config.data, split=split))
