"""A sweep: many trials of one experiment, which r is enough, and how sure that is.

python -m flows.sweep                        # r by target modules, with two seeds
python -m flows.sweep sweep=smoke            # four small trials, minutes
python -m flows.sweep adapter.r=2,8,32       # commas make a dimension of any key
"""

from prefect import flow

from flows.command import run_safely
from flows.course import Course
from flows.reaper import name_process
from flows.runners import require_ready
from flows.server import prefect_api
from flows.sweep_command import command_words, read_request
from flows.trial import warm_base
from loraflow.preflight import check_machine


@flow(name="sweep", flow_run_name="{name}", persist_result=False, on_running=[name_process])
def sweep(name: str, words: list[str]) -> None:
    """Run what is left of the sweep that `words` ask for, each trial a task, and report.

    Raises:
        UserError: if an arm cannot be trained, before anything starts; or if a trial has failed:
            all others have run, and the report is there.
    """
    from flows.rank import publish
    from loraflow.tracking.data import log_data
    from loraflow.tracking.run import tolerated_outage
    from loraflow.tracking.sweep import open_sweep

    request = read_request(words)
    require_ready(request)  # before anything of it is in MLflow
    course = Course(request)
    course.require_storage()
    with (
        course.store.lock(course.key),
        open_sweep(
            request.config.tracking,
            course.key,
            name=name,
            data=course.plan.last.data_fingerprint,
        ) as run,
    ):
        course.run(parent=run.id)
        if course.store.has(course.plan.report):
            with tolerated_outage("the data is not there"):
                log_data(run, course.plan, course.store)
        publish(course, run)
        course.warn_of_unlogged(run.id)
        course.require_success()


def main() -> None:
    """Read the command line, run the sweep, show what came out."""
    run_safely(_run)


def _run() -> None:
    words = command_words()
    if words is None:
        return
    with prefect_api() as api:
        from loraflow.tracking.connection import connect

        request = read_request(words)
        check_machine(request.config)
        connect(request.config.tracking)  # a new database is made while Prefect's server starts
        if api.is_own:
            warm_base()  # and its trials' libraries are imported
        with api.connected():
            sweep(f"{request.config.model.name} {request.sweep.name}", words)


if __name__ == "__main__":
    main()
