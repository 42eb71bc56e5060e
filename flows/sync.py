"""Logs to MLflow, once and whole, the experiments that were done while its server was away.

python -m flows.sync
"""

import logging
import os
from collections.abc import Callable
from pathlib import Path

from flows.command import run_command
from flows.pipeline import Ready, Record, run_experiment
from flows.stages import Stages
from loraflow.config import Config
from loraflow.errors import UserError
from loraflow.lock import is_held, locked
from loraflow.outbox import OUTBOX, Unlogged, read_unlogged, unlogged_files
from loraflow.plan.experiment import Plan
from loraflow.store import LOCKS, Key, Store, Summary

log = logging.getLogger("loraflow")


def sync(root: Path) -> dict[str, str]:
    """Log what waits in the store `root`; return, by the plan's digest, the MLflow run of each.

    Nothing is computed: all comes out of the store. One that cannot be logged stays for later.
    """
    logged = {}
    with locked(root / OUTBOX / "lock"):
        for path in unlogged_files(root):
            try:
                unlogged = read_unlogged(path)
                digest = unlogged.plan.experiment.digest
                if is_held(root / LOCKS / digest[:20]):
                    continue  # it is being run again, and logged by that
                run_id = _log(root, unlogged)
            except UserError as error:
                log.warning("%s is not in MLflow yet: %s", os.path.relpath(path), error)
                continue
            if run_id:
                path.unlink(missing_ok=True)
                logged[digest] = run_id
    return logged


def _log(root: Path, unlogged: Unlogged) -> str:
    """Log one experiment, and return its run; empty: the server is still away."""
    from mlflow.exceptions import MlflowException

    store = Store(root)
    _require(store, unlogged.plan)
    stages = Stages(store, unlogged.base, _find)
    ready = Ready(unlogged.config, stages, unlogged.judge, unlogged.plan, unlogged.started)
    try:
        done = run_experiment(ready, _record(unlogged), name=unlogged.name, parent=unlogged.parent)
    except MlflowException as error:
        raise UserError(
            f"tracking.uri={unlogged.config.tracking.uri} refuses {unlogged.name}: "
            f"{str(error)[:200]}; restore what that names, an experiment in the bin for one, or "
            "delete the file"
        ) from error
    return done.run_id if done.is_logged else ""


def _require(store: Store, plan: Plan) -> None:
    """Hold what is read below, before a run is opened in MLflow for it."""
    for key in [*plan.stages().values(), plan.evaluation.page]:
        store.hold(key)
        if not store.has(key):
            raise UserError(
                f"store={store.root} has no output of the stage {key.stage} for it any more; start "
                "its command again, which makes and logs it anew"
            )


def _find(store: Store, key: Key, work: Callable[..., Summary], arm: str = "") -> Path:
    """Return an output that is there; make none."""
    return store.folder(key)


def _record(unlogged: Unlogged) -> Record:
    from loraflow.tracking.record import record_experiment
    from loraflow.tracking.sweep import record_trial

    write = record_experiment if unlogged.parent is None else record_trial
    return lambda run, ready, page: write(
        run, ready.config, ready.plan, ready.stages.store, base=ready.stages.base, page=page
    )


def main() -> None:
    """Read the command line, log what waits, say what is left."""
    run_command(_run)


def _run(config: Config) -> None:
    logged = sync(Path(config.store).absolute())
    left = unlogged_files(Path(config.store))
    log.info("%d logged to MLflow", len(logged))
    if left:
        names = ", ".join(os.path.relpath(path) for path in left)
        raise UserError(
            f"{len(left)} not logged yet, as said above: {names}; start the tracking server and "
            "make sync again"
        )


if __name__ == "__main__":
    main()
