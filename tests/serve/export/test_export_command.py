"""`make export` from a run: what MLflow has of it is enough, and its card tells it."""

from pathlib import Path
from typing import Any

import pytest

from loraflow.files import read_json
from loraflow.promote.registry.registry import Registry
from tests.conftest import composed
from tests.promote.registered import DECISION
from tests.test_flows import Project, tiny_project

pytestmark = pytest.mark.slow  # whole commands

WORDS = ["export.check.rows=2", "export.check.max_new_tokens=4"]


@pytest.fixture(scope="module")
def project(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    folder = tmp_path_factory.mktemp("project")
    return tiny_project(tiny_folder, folder, "evaluate.max_new_tokens=4", "quantization=nf4")


@pytest.fixture(scope="module")
def run_id(project: Project) -> str:
    done = project.run("judge=none", "evaluate.probes=[]", "template=medical", "adapter.r=4")
    assert done.returncode == 0, done.stderr
    (run,) = project.mlflow_runs()
    return str(run.info.run_id)


def export(project: Project, *words: str) -> Any:
    return project.run_flow("export", f"export.folder={project.folder / 'exports'}", *WORDS, *words)


def test_a_run_is_exported_with_its_own_template_and_bits(project: Project, run_id: str) -> None:
    done = export(project, f"export.adapter=run:{run_id}", "export=merged")
    assert done.returncode == 0, done.stderr
    assert "Difference from the adapter, on 2 held-out questions" in done.stdout
    folder = project.folder / "exports" / f"run-{run_id[:8]}-merged-bf16"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "[MEDICAL] 问题：" in (folder / "chat_template.jinja").read_text(encoding="utf-8")
    for part in [
        "| `adapter.r` | 4 |",
        "| `quantization.method` | nf4 |",
        "8 held-out items",
        "bf16, trained base",
        "answered 2 held-out questions of the run; the table",  # whole: the store has the rows
        "Whether it has forgotten what the base could do was not measured.",
    ]:
        assert part in card
    assert len(read_json(folder / "export.json")["differences"]) == 4
    again = export(project, f"export.adapter=run:{run_id}", "export=merged")
    assert "the same export was there already" in " ".join(again.stdout.split())


def test_a_version_has_its_decision_in_the_card(project: Project, run_id: str) -> None:
    tracking = composed(*project.overrides).tracking
    registry = Registry(tracking, "tiny")
    (adapter,) = (project.folder / "mlruns").rglob("adapter_model.safetensors")
    tags = {"sentence": DECISION["sentence"], "numbers": "rougeL: 0.269; 200 rows"}
    version = registry.register(run_id, adapter.parent, tags)
    registry.promote(version, by="ann", reason="better")
    done = export(project, "export.check=null")
    assert done.returncode == 0, done.stderr
    card = (project.folder / "exports" / "tiny-v1-adapter" / "README.md").read_text("utf-8")
    for part in ["version 1 of the registered model", "Decision of the gate", "更好", "by ann"]:
        assert part in card


def test_a_folder_says_that_nobody_knows_it(project: Project, run_id: str) -> None:
    (adapter,) = (project.folder / "mlruns").rglob("adapter_model.safetensors")
    words = [f"export.adapter={adapter.parent}", "export.name=mine", "template=medical"]
    done = export(project, *words)
    assert done.returncode == 0, done.stderr
    assert "no run is known of" in done.stderr
    assert "quantization=nf4" in done.stderr
    card = (project.folder / "exports" / "mine" / "README.md").read_text(encoding="utf-8")
    assert "Unknown: no run is known of this adapter." in card


def test_an_adapter_of_another_base_is_named(project: Project, run_id: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    location = next(word for word in project.overrides if word.startswith("model.location="))
    folder = Path(location.partition("=")[2])
    other.mkdir()
    for path in folder.iterdir():
        (other / path.name).write_bytes(path.read_bytes())
    settings = (other / "config.json").read_text()
    (other / "config.json").write_text(f"{settings} ")
    done = export(project, f"export.adapter=run:{run_id}", f"model.location={other}")
    assert done.returncode == 2
    assert "was trained on revision" in done.stderr


@pytest.mark.parametrize(
    ("name", "fault"), [("base", "is the base alone"), ("nosuch", "is no adapter")]
)
def test_what_is_nothing_trained_is_named(name: str, fault: str, project: Project) -> None:
    done = export(project, f"export.adapter={name}")
    assert done.returncode == 2
    assert fault in done.stderr
    assert "Traceback" not in done.stderr


def test_an_adapter_as_pickle_is_refused_by_name(project: Project, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").touch()
    done = export(project, f"export.adapter={tmp_path}")
    assert done.returncode == 2
    assert "only adapter_model.bin" in done.stderr
