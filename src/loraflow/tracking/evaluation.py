"""Writes an evaluation into an MLflow run: numbers with intervals, the report, every item."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd
from mlflow.utils.mlflow_tags import MLFLOW_LOGGED_ARTIFACTS

from loraflow.evaluate.report.content import EvaluationPage, Score
from loraflow.evaluate.report.notes import UNTRUSTED
from loraflow.evaluate.report.run import PAGE
from loraflow.plan.evaluation import EvaluationPlan
from loraflow.store import Store
from loraflow.tracking.run import Run
from loraflow.tracking.traces import log_traces

FOLDER = "evaluate"
_TABLE = f"{FOLDER}/items.json"

# MLflow's views compare tables of runs that say so; `mlflow.log_table` would need six calls more
TABLE_TAGS = {MLFLOW_LOGGED_ARTIFACTS: json.dumps([{"path": _TABLE, "type": "table"}])}


def evaluation_metrics(page: EvaluationPage) -> dict[str, float]:
    """Return every number of a page under its name in MLflow.

    evaluate/NAME is that of the tuned model (of the base, where it is alone), evaluate_base/NAME
    that of the base, compare/NAME_mean their difference; _low and _high bound 95% intervals.
    Ratings of a judge that is not trusted are named so.
    """
    metrics = dict(_numbers(page.scores))
    metrics |= {name.replace("/", "/probe_", 1): value for name, value in _numbers(page.probes)}
    if page.bench is not None:
        scores = [*page.bench.overall, *page.bench.categories]
        metrics |= {name.replace("/", "/mt_bench_", 1): value for name, value in _numbers(scores)}
    return metrics


def log_evaluation(run: Run, plan: EvaluationPlan, store: Store, page: EvaluationPage) -> None:
    """Log the page, the items and the answers that a judge has rated to the active run."""
    with tempfile.TemporaryDirectory() as scratch:
        gather_evaluation(plan, store, page, out=Path(scratch))
        run.client.log_artifacts(run.id, scratch)
    run.log_values(tags=TABLE_TAGS)
    log_traces(run, page)


def gather_evaluation(
    plan: EvaluationPlan, store: Store, page: EvaluationPage, *, out: Path
) -> None:
    """Write the page, the table of items, and each stage's raw items to evaluate/ below `out`."""
    folder = out / FOLDER
    folder.mkdir()
    (folder / PAGE).write_bytes((store.folder(plan.page) / PAGE).read_bytes())
    pd.DataFrame(list(_rows(page))).to_json(out / _TABLE, orient="split", index=False)
    for name, key in plan.stages().items():
        source, target = store.folder(key), folder / name
        target.mkdir()
        for path in [*source.rglob("*.jsonl"), *source.glob("card.json")]:
            (target / path.name).write_bytes(path.read_bytes())


def _numbers(scores: Sequence[Score]) -> Iterator[tuple[str, float]]:
    for score in scores:
        name = score.name.replace(" ", "_") + ("_untrusted" if score.note == UNTRUSTED else "")
        best = score.tuned or score.base
        yield f"evaluate/{name}", best.value
        yield f"evaluate/{name}_low", best.low
        yield f"evaluate/{name}_high", best.high
        yield f"evaluate_base/{name}", score.base.value
        if score.difference is not None:
            for part, value in vars(score.difference).items():
                yield f"compare/{name}_{part}", value


def _rows(page: EvaluationPage) -> Iterator[dict[str, object]]:
    for item in page.items:
        yield {
            "id": item.id,
            "prompt": item.prompt,
            "reference": item.reference,
            **{f"{arm}_answer": text for arm, text in item.answers.items()},
            **{
                f"{arm}_{name}": round(value, 4)
                for name, values in item.scores.items()
                for arm, value in zip(("base", "tuned"), values, strict=True)
                if value is not None
            },
        }
