"""The rank report of MLflow runs that exist, whatever made them.

python -m flows.compare runs=[ID,ID,ID] metric=rougeL margin=0.02
"""

import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from prefect import flow

from flows.command import run_command
from flows.rank import publish_artifacts
from flows.reaper import name_process
from flows.server import prefect_api
from loraflow.check import dump_config, load_config
from loraflow.config import Config
from loraflow.errors import UserError
from loraflow.store import make_key
from loraflow.sweep.metric import margin_of, usual_metric
from loraflow.sweep.report.content import RankPage

_FEWEST = 2


@flow(name="compare", flow_run_name="{name}", persist_result=False, on_running=[name_process])
def compare(
    name: str,
    runs: list[str],
    settings: dict[str, Any],
    *,
    metric: str | None,
    margin: float | None,
) -> tuple[RankPage, str]:
    """Fetch runs, compare them, and log the report as a run of its own; return it and its place."""
    from loraflow.sweep.report.gather import Question, gather
    from loraflow.sweep.report.markdown import as_markdown
    from loraflow.sweep.report.numbers import metrics_of
    from loraflow.sweep.report.outcomes import shown_dimensions
    from loraflow.sweep.report.run import write
    from loraflow.sweep.report.runs import differing, measured_runs
    from loraflow.tracking.fetch import fetch_trial
    from loraflow.tracking.sweep import open_sweep, record_sweep

    tracking = load_config(settings).tracking
    fetched = [fetch_trial(tracking, run) for run in runs]
    dimensions = differing(fetched)
    task = fetched[0].settings["train"]["task"]
    metric = metric or usual_metric(task)
    usual_margin = margin_of(metric, key="metric")
    margin = margin or usual_margin
    question = Question(name, metric, margin, task, shown_dimensions(dimensions, [], []))
    page = gather(question, measured_runs(fetched, dimensions))
    wish: dict[str, Any] = {"runs": sorted(runs), "metric": metric, "margin": margin}
    own = replace(tracking, experiment=f"{tracking.experiment}-compare")
    with (
        open_sweep(own, make_key("compare", 1, **wish), name=name, data="") as run,
        tempfile.TemporaryDirectory() as scratch,
    ):
        folder = Path(scratch)
        write(page, folder)
        record_sweep(run, wish, folder=folder, metrics=metrics_of(page), note=as_markdown(page))
        publish_artifacts(page, folder, run.url)
    return page, run.url


def main() -> None:
    """Read the command line, compare, show what came out."""
    wish = _take_wish()
    run_command(lambda config: _run(config, wish))


def _take_wish() -> dict[str, str]:
    """Take what Hydra does not know off the command line: runs=, metric=, margin=."""
    found: dict[str, str] = {}
    rest = []
    for word in sys.argv[1:]:
        key, _, value = word.partition("=")
        if key in ("runs", "metric", "margin"):
            found[key] = value
        else:
            rest.append(word)
    sys.argv[1:] = rest
    return found


def _run(config: Config, wish: Mapping[str, str]) -> None:
    runs = [run.strip() for run in wish.get("runs", "").strip("[]").split(",") if run.strip()]
    if len(runs) < _FEWEST:
        raise UserError(
            f'RUNS has {len(runs)} runs; give two or more, as in make compare RUNS="ID ID"'
        )
    with prefect_api() as api, api.connected():
        page, url = compare(
            f"{len(runs)} runs",
            runs,
            dump_config(config),
            metric=wish.get("metric"),
            margin=_number(wish.get("margin")),
        )
    from loraflow.sweep.report.terminal import show_rank

    show_rank(page, {"MLflow run": url, "look at it": "make ui         (MLflow: rank/rank.html)"})


def _number(text: str | None) -> float | None:
    try:
        number = None if text is None else float(text)
    except ValueError:
        number = 0.0
    if number is not None and not number > 0:
        raise UserError(f"margin={text} must be a number above 0; set margin=0.02")
    return number


if __name__ == "__main__":
    main()
