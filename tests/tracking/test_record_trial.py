"""A trial's run has all that it takes to compare it from MLflow alone, and reads back the same."""

from pathlib import Path

import pytest

from loraflow.config import TrackingConfig
from loraflow.errors import UserError
from loraflow.files import HISTORY, ITEMS, read_json, read_lines
from loraflow.store import make_key
from loraflow.tracking.data import log_data
from loraflow.tracking.fetch import fetch_trial
from loraflow.tracking.run import open_run
from loraflow.tracking.sweep import open_sweep, record_sweep
from tests.tracking.servers import PLAN, run_of
from tests.tracking.trials import Done, run_trial


@pytest.fixture(scope="module")
def trained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    return run_trial(tiny_folder, tmp_path_factory.mktemp("trained"))


@pytest.fixture(scope="module")
def untrained(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    words = ["adapter=none", "judge=none"]
    return run_trial(tiny_folder, tmp_path_factory.mktemp("untrained"), *words)


def test_charts_over_rank_have_their_columns(trained: Done, tracking: TrackingConfig) -> None:
    run = run_of(tracking, trained.log(tracking).id)
    params, metrics = run.data.params, run.data.metrics
    assert (params["adapter.r"], params["effective_scale"]) == ("8", "2.0")
    assert int(params["trainable_parameters"]) == metrics["train/trainable_parameters"] > 0
    cost = {name for name in metrics if name.startswith("cost/")} - {"cost/energy_joules"}
    assert cost == {
        "cost/seconds",
        "cost/evaluate_seconds",
        "cost/tokens",
        "cost/peak_memory_gib",
    }
    assert metrics["cost/tokens"] == metrics["train/tokens"] > 0


def test_base_alone_is_shown_with_rank_0(untrained: Done, tracking: TrackingConfig) -> None:
    run = run_of(tracking, untrained.log(tracking).id)
    params = run.data.params
    assert params["adapter.method"] == "none"
    assert (params["adapter.r"], params["adapter.target_modules"]) == ("0", "none")
    assert (params["effective_scale"], params["trainable_parameters"]) == ("0.0", "0")
    assert "evaluate/loss" in run.data.metrics
    assert not any(name.startswith("compare/") for name in run.data.metrics)


def test_trial_is_read_back_as_it_was_measured(trained: Done, tracking: TrackingConfig) -> None:
    run = trained.log(tracking)
    found = fetch_trial(tracking, run.id)
    store, plan = trained.ready.stages.store, trained.ready.plan
    assert (found.id, found.url, found.state) == (run.id, run.url, "finished")
    assert found.settings["adapter"]["r"] == 8
    assert found.history == read_lines(store.folder(plan.last.train) / HISTORY)
    for arm, items in [
        (plan.evaluation.base, found.base_items),
        (plan.evaluation.tuned, found.tuned_items),
    ]:
        assert arm is not None
        assert items is not None
        for row, item in zip(read_lines(store.folder(arm.evaluate) / ITEMS), items, strict=True):
            assert {name: item[name] for name in row} == row
            assert "judge_rating" in item


def test_base_alone_has_no_tuned_items(untrained: Done, tracking: TrackingConfig) -> None:
    found = fetch_trial(tracking, untrained.log(tracking).id)
    assert found.tuned_items is None
    assert len(found.base_items) == 8
    assert found.history == []


def test_digests_of_every_stage_are_logged(trained: Done, tracking: TrackingConfig) -> None:
    run = trained.log(tracking)
    store, plan = trained.ready.stages.store, trained.ready.plan
    for name, key in plan.stages().items():
        path = run.client.download_artifacts(run.id, f"stages/{name}/result.json")
        assert read_json(Path(path)) == store.result(key)


def test_items_can_be_compared_in_mlflow(trained: Done, tracking: TrackingConfig) -> None:
    run = trained.log(tracking)
    experiment = run_of(tracking, run.id).info.experiment_id
    table = run.client.load_table(experiment, "evaluate/items.json", run_ids=[run.id])
    assert {"prompt", "reference", "base_answer", "tuned_answer"} <= set(table.columns)
    assert len(table) == 8


def test_adapter_is_a_model_of_the_run(trained: Done, tracking: TrackingConfig) -> None:
    run = run_of(tracking, trained.log(tracking).id)
    assert len(run.outputs.model_outputs) == 1


def test_trial_logs_neither_data_nor_traces(trained: Done, tracking: TrackingConfig) -> None:
    run = trained.log(tracking)
    assert not run_of(tracking, run.id).inputs.dataset_inputs
    names = {file.path for file in run.client.list_artifacts(run.id)}
    assert "data" not in names
    assert {"config.yaml", "git.diff", "libraries.json", "stages.json"} <= names


def test_data_of_a_sweep_is_logged_once_however_often_it_goes_on(
    trained: Done, tracking: TrackingConfig, tmp_path: Path
) -> None:
    for _ in range(2):
        with open_sweep(tracking, make_key("sweep", 2), name="sweep", data="d") as run:
            log_data(run, trained.ready.plan, trained.ready.stages.store)
            record_sweep(run, {"sweep": {}}, folder=tmp_path, metrics={}, note="")
    found = run_of(tracking, run.id)
    assert len(found.inputs.dataset_inputs) == 2  # both sides of the split
    assert found.data.metrics["prepare/train"] == 64


def test_unknown_run_is_named(tracking: TrackingConfig) -> None:
    with pytest.raises(UserError, match=r"^run=nosuch is no run"):
        fetch_trial(tracking, "nosuch")


def test_run_of_the_data_alone_is_no_trial(tracking: TrackingConfig) -> None:
    with open_run(tracking, PLAN, name="data", data="d") as run:
        run.recorded = True
    with pytest.raises(UserError, match=f"^run={run.id} is no experiment, but one of its parts"):
        fetch_trial(tracking, run.id)


def test_whole_sweep_is_no_trial(tracking: TrackingConfig, tmp_path: Path) -> None:
    with open_sweep(tracking, make_key("sweep", 1), name="sweep", data="d") as run:
        record_sweep(run, {"sweep": {}}, folder=tmp_path, metrics={}, note="")
    with pytest.raises(UserError, match=f"^run={run.id} is a whole sweep"):
        fetch_trial(tracking, run.id)


def test_trial_that_failed_has_no_results(tracking: TrackingConfig) -> None:
    with (
        pytest.raises(UserError, match="too short"),
        open_run(tracking, PLAN, name="trial", data="d") as run,
    ):
        raise UserError("train.max_length=8 is too short")
    with pytest.raises(UserError, match=r"has no results \(failed: train.max_length=8"):
        fetch_trial(tracking, run.id)


def test_run_of_an_older_version_is_named(trained: Done, tracking: TrackingConfig) -> None:
    """It has a config and a table of items, without the raw ones."""
    with open_run(tracking, PLAN, name="old", data="d") as run:
        run.client.log_text(run.id, "model: {}", "config.yaml")
        run.client.log_text(run.id, "{}", "evaluate/items.json")
        run.recorded = True
    with pytest.raises(UserError, match=f"^run={run.id} was logged by an older version"):
        fetch_trial(tracking, run.id)
