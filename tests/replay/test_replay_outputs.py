"""The first output that differs is named, and how it differs, as far as files can tell."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from loraflow.files import read_json, write_lines
from loraflow.replay.outputs import compare_outputs
from loraflow.replay.report import Replay, replay_markdown
from loraflow.store import Key, Store, Summary, make_key
from loraflow.tracking.recorded import Recorded

STAGES = {
    "tokenize": make_key("tokenize", 1),
    "train": make_key("train", 1),
    "evaluate_tuned": make_key("evaluate", 1),
}
Change = Callable[[Path], None]


def make_stage(store: Store, key: Key, write: Change) -> None:
    def work(out: Path) -> Summary:
        write(out)
        return {"counts": {"rows": len(list(out.iterdir()))}}

    store.run(key, work)


def write_train(out: Path, *, loss: float = 2.0, pace: float = 10.0, weight: float = 1.0) -> None:
    rows = [
        {"step": 1, "train/loss": 3.0, "train/tokens_per_second": pace},
        {"step": 2, "train/loss": loss, "train/tokens_per_second": pace},
    ]
    write_lines(out / "history.jsonl", rows)
    (out / "adapter").mkdir()
    tensors = {"a": torch.zeros(2), "b": torch.tensor([1.0, weight])}
    save_file(tensors, out / "adapter" / "adapter_model.safetensors")


def write_items(out: Path, answer: str = "yes") -> None:
    items = [{"id": "1", "answer": "no"}, {"id": "2", "answer": answer}]
    write_lines(out / "items.jsonl", items)


def write_all(store: Store, train: Change = write_train, evaluate: Change = write_items) -> Store:
    make_stage(store, STAGES["tokenize"], lambda out: (out / "train.parquet").touch())
    make_stage(store, STAGES["train"], train)
    make_stage(store, STAGES["evaluate_tuned"], evaluate)
    return store


def record(store: Store, folder: Path) -> Recorded:
    """Return what a run has of the outputs in `store`."""
    results = {name: store.result(key) for name, key in STAGES.items()}
    for name, file in {
        "stages/train": store.folder(STAGES["train"]) / "history.jsonl",
        "evaluate/evaluate_tuned": store.folder(STAGES["evaluate_tuned"]) / "items.jsonl",
    }.items():
        (folder / name).mkdir(parents=True)
        (folder / name / file.name).write_bytes(file.read_bytes())
    return Recorded("id", "name", "", "", {}, {}, results, folder)


@pytest.fixture
def first(tmp_path: Path) -> Store:
    return write_all(Store(tmp_path / "first"))


@pytest.fixture
def recorded(first: Store, tmp_path: Path) -> Recorded:
    return record(first, tmp_path / "recorded")


def compare(recorded: Recorded, first: Store, now: Store) -> Replay:
    trained = first.folder(STAGES["train"])
    return Replay("id", None, compare_outputs(recorded, STAGES, now, lambda: trained))


def test_same_outputs_at_another_pace_are_equal(
    first: Store, recorded: Recorded, tmp_path: Path
) -> None:
    now = write_all(Store(tmp_path / "now"), lambda out: write_train(out, pace=99.0))
    found = compare(recorded, first, now)
    assert found.is_equal
    assert replay_markdown(found).startswith("Equal: all 4 files of 3 stages")


def test_weights_that_differ_are_measured(first: Store, recorded: Recorded, tmp_path: Path) -> None:
    now = write_all(Store(tmp_path / "now"), lambda out: write_train(out, weight=1.25))
    found = compare(recorded, first, now)
    assert not found.is_equal
    assert "differs first in train: adapter/adapter_model.safetensors: 1 of 2 tensors; " in (
        replay_markdown(found)
    )
    assert "largest difference 0.25, in b" in replay_markdown(found)


def test_step_where_losses_part_is_named(first: Store, recorded: Recorded, tmp_path: Path) -> None:
    now = write_all(Store(tmp_path / "now"), lambda out: write_train(out, loss=2.5))
    text = replay_markdown(compare(recorded, first, now))
    assert "history.jsonl: train/loss at step 2: 2.0 -> 2.5" in text


def test_items_that_differ_are_counted_with_an_example(
    first: Store, recorded: Recorded, tmp_path: Path
) -> None:
    now = write_all(Store(tmp_path / "now"), evaluate=lambda out: write_items(out, "maybe"))
    text = replay_markdown(compare(recorded, first, now))
    assert "items.jsonl: 1 of 2 items; item 2, answer: 'yes' -> 'maybe'" in text


def test_file_that_is_missing_is_named(first: Store, recorded: Recorded, tmp_path: Path) -> None:
    now = write_all(Store(tmp_path / "now"), evaluate=lambda out: None)
    text = replay_markdown(compare(recorded, first, now))
    assert "differs first in evaluate_tuned: items.jsonl is missing" in text


def test_stage_of_an_older_version_is_not_compared_and_said_so(
    first: Store, recorded: Recorded, tmp_path: Path
) -> None:
    result = dict(recorded.results["tokenize"])
    del result["digests"]
    older = {**recorded.results, "tokenize": result}
    before = Recorded("id", "name", "", "", {}, {}, older, recorded.folder)
    found = compare(before, first, write_all(Store(tmp_path / "now")))
    assert found.is_equal
    assert "3 files of 2 stages" in replay_markdown(found)
    assert "no digests were recorded, by an older version, of tokenize" in replay_markdown(found)


def test_result_of_the_store_is_what_is_compared(first: Store) -> None:
    """Digests are in result.json, which is an artifact of the run."""
    path = first.folder(STAGES["train"]) / "result.json"
    assert set(read_json(path)["digests"]) == {
        "adapter/adapter_model.safetensors",
        "history.jsonl",
    }
