"""What does not go together in a sweep."""

from collections.abc import Iterator, Sequence

from loraflow.check import has_password
from loraflow.config import RunnerConfig, SearchConfig, SweepConfig
from loraflow.sweep.space import Dimension, Range


def search_faults(
    sweep: SweepConfig, compared: Sequence[Dimension], tuned: Sequence[Dimension]
) -> Iterator[str]:
    """Yield each contradiction with its fix."""
    if not compared and not tuned:
        yield "sweep.space is empty; give it a dimension, as in adapter.r=1,4,16"
    if any(isinstance(dimension.choices, Range) for dimension in compared):
        yield (
            "sweep.space holds a range, and every value in it would be an arm of its own; move it "
            "to sweep.search.tune, or list values"
        )
    keys = [key for dimension in (*compared, *tuned) for key in sorted(dimension.keys())]
    for key in sorted({key for key in keys if keys.count(key) > 1}):
        yield f"{key} is set by two dimensions of the sweep; drop one of them"
    if "train.seed" in keys:
        yield "train.seed is no dimension: every trial is repeated with each of sweep.seeds"
    if has_password(sweep.search.storage):
        yield (
            "sweep.search.storage holds a password, which would be logged; set it to "
            "postgresql://HOST/DATABASE, and PGUSER and PGPASSWORD in the environment"
        )
    if tuned:
        yield from _tuning_faults(sweep.search, tuned)
    elif sweep.search.pruning is not None:
        yield (
            f"sweep.search.pruning={sweep.search.pruning} prunes nothing: every trial is an arm "
            "that is compared; set it to null, or move a dimension to sweep.search.tune"
        )


def runner_faults(runner: RunnerConfig) -> Iterator[str]:
    """Yield what this runner would not heed, each with its fix."""
    if runner.address is not None and runner.kind in ("local", "processes"):
        yield (
            f"runner.address={runner.address} does nothing with runner={runner.kind}, which starts "
            "no trial elsewhere; add runner=dask or runner=ray"
        )
    elif runner.kind == "local":
        for key, value, nothing in (("workers", runner.workers, 1), ("gpus", runner.gpus, 0)):
            if value != nothing:
                yield (
                    f"runner.{key}={value} does nothing with runner=local, which runs one trial "
                    "after another; add runner=processes"
                )
    elif runner.kind == "dask" and runner.gpus and not runner.address:
        yield (  # its own cluster's workers declare none, and trials would wait
            f"runner.gpus={runner.gpus}: a Dask cluster that is started here gives its workers no "
            "GPU of their own; set runner=processes, or runner.address to a cluster's"
        )


def _tuning_faults(search: SearchConfig, tuned: Sequence[Dimension]) -> Iterator[str]:
    has_range = any(isinstance(dimension.choices, Range) for dimension in tuned)
    if search.sampler == "grid" and has_range:
        yield "sweep.search.sampler=grid needs lists; set tpe or random for a range"
    if search.sampler != "grid" and search.trials is None:
        yield (
            f"sweep.search.sampler={search.sampler} needs a number of configurations to try for "
            "each arm; set sweep.search.trials=8"
        )
    if search.pruning is not None and search.objectives != ["loss"]:
        yield (
            f"sweep.search.pruning={search.pruning} goes by the loss alone, and "
            f"sweep.search.objectives={search.objectives} are others; set pruning to null"
        )
