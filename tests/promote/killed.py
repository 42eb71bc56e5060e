"""A process of its own that is killed just before its n-th change of MLflow's registry."""

import multiprocessing
import os
from collections.abc import Callable
from functools import partial, wraps
from typing import Any

from mlflow import MlflowClient

from loraflow.config import TrackingConfig
from loraflow.promote.registry.registry import Registry

Work = Callable[[Registry], Any]

_KILLED = 137
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload(  # imported once for all processes
    [
        "loraflow.promote.registry.registry",
        "mlflow.store.model_registry.sqlalchemy_workspace_store",
        "mlflow.store.tracking.sqlalchemy_workspace_store",
    ]
)
_CHANGES = ("create_", "set_", "update_", "delete_")  # what is only read leaves nothing behind


def work_until_killed(work: Work, tracking: TrackingConfig, name: str, changes: int) -> bool:
    """Do `work` in another process, at most so many changes; tell whether it was killed."""
    process = _SERVER.Process(target=_work, args=(work, tracking, name, changes))
    process.start()
    process.join()
    assert process.exitcode in (0, _KILLED)
    return process.exitcode == _KILLED


def _work(work: Work, tracking: TrackingConfig, name: str, changes: int) -> None:
    left = [changes]
    for method in dir(MlflowClient):
        if "model" in method and method.startswith(_CHANGES):
            setattr(MlflowClient, method, _counted(getattr(MlflowClient, method), left))
    work(Registry(tracking, name))


def _counted(method: Callable[..., Any], left: list[int]) -> Callable[..., Any]:
    @wraps(method)
    def counted(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if left[0] < 0:
            os._exit(_KILLED)  # as by kill -9: nothing is tidied up
        return method(*args, **kwargs)

    return counted


def register_one(run_id: str, adapter: Any) -> Work:
    return partial(_register, run_id, adapter)


def _register(run_id: str, adapter: Any, registry: Registry) -> None:
    registry.register(run_id, adapter, {"data": "d"})


def promote_number(number: int) -> Work:
    return partial(_promote, number)


def _promote(number: int, registry: Registry) -> None:
    registry.promote(registry.version(number), by="schedule", reason="better")


def roll_back(registry: Registry) -> None:
    registry.rollback(by="ann", reason="worse")
