"""The rank report: written, shown, and published to MLflow and Prefect."""

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from prefect.artifacts import (
    create_image_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.naming import facts_of
from loraflow.sweep.report.content import RankPage
from loraflow.sweep.report.gather import Question, gather
from loraflow.sweep.report.markdown import as_markdown
from loraflow.sweep.report.numbers import metrics_of, table_of
from loraflow.sweep.report.outcomes import measured, shown_dimensions
from loraflow.sweep.report.run import write
from loraflow.sweep.report.terminal import show_rank

if TYPE_CHECKING:
    from flows.course import Course
    from loraflow.tracking.run import Run

_VARYING = ("adapter", "seed")  # facts of one trial, not of a sweep


def page_of(course: "Course") -> RankPage:
    """Return the report of a sweep, from what its trials left in the store."""
    request = course.request
    outcomes = course.outcomes()
    question = Question(
        f"{request.config.model.name}: {request.sweep.name}",
        request.metric,
        request.margin,
        request.config.train.task,
        shown_dimensions(request.dimensions, request.tuned, course.trials),
        [
            *(fact for fact in facts_of(request.config) if fact[0] not in _VARYING),
            ("seeds", ", ".join(map(str, request.sweep.seeds))),
        ],
    )
    found = [
        measured(trial, outcomes.get(trial.name), request.dimensions) for trial in course.trials
    ]
    return gather(question, found, course.chosen)


def publish(course: "Course", run: "Run") -> None:
    """Write the report beside the sweep's notes, log it, make Prefect's artifacts, and show it."""
    from loraflow.tracking.recommended import record_recommended
    from loraflow.tracking.run import tolerated_outage
    from loraflow.tracking.sweep import record_sweep

    page = page_of(course)
    folder = course.folder / "report"
    folder.mkdir(parents=True, exist_ok=True)
    write(page, folder)
    with tolerated_outage("the report is not there"):
        record_sweep(
            run,
            course.settings(),
            folder=folder,
            metrics=metrics_of(page),
            note=as_markdown(page),
        )
        record_recommended(run, recommended_sets(course, page))
    publish_artifacts(page, folder, run.url)
    show_rank(
        page,
        {
            "MLflow run": run.url,
            "report": os.path.relpath(folder / "rank.html"),
            "look at it": "make ui         (MLflow: compare the trials, parallel coordinates)",
            "": "make dashboard  (Prefect: every trial, its log)",
        },
    )


def recommended_sets(course: "Course", page: RankPage) -> dict[str, Any]:
    """Return what the recommended arm sets: keys and values, without the seed."""
    found = page.recommendation
    for trial in course.trials:
        if found is not None and trial.arm == found.arm and not trial.is_control:
            return {key: value for key, value in trial.sets.items() if key != "train.seed"}
    return {}


def publish_artifacts(page: RankPage, folder: Path, url: str) -> None:
    """Show the report on the page of the Prefect flow run."""
    create_markdown_artifact(
        f"{as_markdown(page)}\n\n[The run in MLflow]({url}) · "
        f"[The report]({url}/artifacts/rank/rank.html)",
        key="rank-report",
        description="Which r is enough",
    )
    picture = base64.b64encode((folder / "rank.png").read_bytes()).decode()
    create_image_artifact(
        f"data:image/png;base64,{picture}", key="rank-quality", description="Quality against r"
    )
    create_table_artifact(table_of(page), key="rank-table", description="All arms")
