"""The same run against Prefect and MLflow servers as compose.yaml starts them, on a real Postgres.

Their commands and settings are read from that file; S3 is played by moto, where it is installed.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from loraflow.promote.line import Line
from tests.servers.postgres import Postgres, running_postgres
from tests.servers.test_compose import SERVICES, VARIABLE
from tests.tracking.mlflow_server import free_port, wait_until_it_answers

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LOGIN = "admin", "a password of a team"
# Each takes the words of a tiny experiment.
COMMANDS = {
    "experiment": ["flows.experiment"],
    "sweep": ["flows.sweep", "sweep=smoke", "adapter.r=2", "sweep.seeds=[0]"],
    "nightly": ["flows.nightly", "gate.rows=12", "schedule.retries=0"],
}


@dataclass(frozen=True)
class Team:
    """Servers that are up, and what lets their clients in."""

    postgres: Postgres
    mlflow: str
    environment: Mapping[str, str]
    folder: Path


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    for module, package in {"psycopg2": "psycopg2-binary", "flask_wtf": "Flask-WTF"}.items():
        pytest.importorskip(module, reason=f"{package}, which MLflow on Postgres needs, is missing")
    folder = tmp_path_factory.mktemp("team")
    with running_postgres("prefect", "mlflow", "optuna") as postgres, ExitStack() as stack:
        values = {
            "POSTGRES_PASSWORD": postgres.password,
            "MLFLOW_ADMIN_PASSWORD": LOGIN[1],
            "MLFLOW_SECRET_KEY": "a long random word",
            "PREFECT_AUTH_STRING": ":".join(LOGIN),
            "S3_ACCESS_KEY": "access",
            "S3_SECRET_KEY": "secret",
        }
        hosts = {"@postgres/": f"@127.0.0.1:{postgres.port}/"}
        destination = str(folder / "artifacts")
        if has_s3 := find_spec("moto") is not None and find_spec("boto3") is not None:
            hosts["storage:8333"] = stack.enter_context(_s3(folder)).removeprefix("http://")
            destination = ""
        run = _Services(folder, values, hosts)
        if has_s3:
            run.once("bucket")
        mlflow = stack.enter_context(run.serving("mlflow", "/health", destination))
        prefect = stack.enter_context(run.serving("prefect", "/api/health"))
        yield Team(
            postgres,
            mlflow,
            {
                "PREFECT_API_URL": f"{prefect}/api",
                "PREFECT_API_AUTH_STRING": ":".join(LOGIN),
                "MLFLOW_TRACKING_URI": mlflow,
                "MLFLOW_TRACKING_USERNAME": LOGIN[0],
                "MLFLOW_TRACKING_PASSWORD": LOGIN[1],
            },
            folder,
        )


class _Services:
    """Starts services of compose.yaml on this machine, without containers."""

    def __init__(self, folder: Path, values: Mapping[str, str], hosts: Mapping[str, str]) -> None:
        self._folder = folder
        self._values = values
        self._hosts = hosts

    def once(self, name: str) -> None:
        """Run one that ends."""
        environment = {**os.environ, **self._environment(name, {})}
        subprocess.run(self._command(name, {}), env=environment, check=True, timeout=120)

    @contextmanager
    def serving(self, name: str, health: str, destination: str = "") -> Iterator[str]:
        """Run one that does not, and yield its address once it is well."""
        (inside,) = (port.rpartition(":")[2] for port in SERVICES[name]["ports"])
        port = str(free_port())
        here = {inside: port, "0.0.0.0": "127.0.0.1"}
        words = self._command(name, here)
        if destination:
            words = [destination if word.startswith("s3://") else word for word in words]
        settings = self._environment(name, here)
        folder = self._folder / name
        (folder / "mlruns").mkdir(parents=True)
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                words,
                cwd=folder,
                env={**os.environ, "PREFECT_HOME": str(folder), **settings},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            wait_until_it_answers(f"http://127.0.0.1:{port}{health}", process)
            yield f"http://127.0.0.1:{port}"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(timeout=30)

    def _command(self, name: str, here: Mapping[str, str]) -> list[str]:
        command = SERVICES[name]["command"]
        words = command if isinstance(command, list) else shlex.split(command)
        modules = {"python": [], "mlflow": ["-m", "mlflow"], "prefect": ["-m", "prefect"]}
        words = [_replaced(word, here) for word in words]
        return [sys.executable, *modules[words[0]], *words[1:]]

    def _environment(self, name: str, here: Mapping[str, str]) -> dict[str, str]:
        def value(found: "re.Match[str]") -> str:
            return self._values[found[1]] if found[2].startswith(":?") else found[2][2:]

        settings = {
            key: VARIABLE.sub(value, _replaced(text, {**self._hosts, **here}))
            for key, text in SERVICES[name]["environment"].items()
        }
        if name == "mlflow":
            settings["MLFLOW_AUTH_CONFIG_PATH"] = str(ROOT / "deploy" / "mlflow_auth.ini")
        return settings


def _replaced(text: str, parts: Mapping[str, str]) -> str:
    for inside, outside in parts.items():
        text = text.replace(inside, outside)
    return text


@contextmanager
def _s3(folder: Path) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder / "s3.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_it_answers(url, process)
        yield url
    finally:
        process.kill()
        process.wait(timeout=30)


def words_for(team: Team, tiny_folder: Path, name: str) -> list[str]:
    """The words of a tiny run whose tracking is the team's."""
    module, *own = COMMANDS[name]
    return [
        *[sys.executable, "-m", module, "tracking=server"],
        *["model=folder", f"model.location={tiny_folder}", "model.name=tiny"],
        *[f"model.cache={team.folder / 'models'}", f"store={team.folder / 'store'}"],
        *["train=smoke", "data.train_rows=64", "data.split.held_out_rows=12"],
        *["evaluate.max_new_tokens=4", *own],
    ]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_run_completes_and_everything_is_on_postgres(
    team: Team, tiny_folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {**os.environ, **team.environment, "PREFECT_HOME": str(team.folder / "client")}
    words = words_for(team, tiny_folder, name)
    if name == "nightly":
        words.append(f"night.folder={team.folder / 'nights'}")
    if name == "sweep":  # the password is in the environment, not on the command line
        words.append(f"sweep.search.storage=postgresql://127.0.0.1:{team.postgres.port}/optuna")
        words.append("+sweep.search.tune={train.learning_rate: [1e-3,1e-4]}")
        words.append("train.early_stopping={rows: 16, steps: 2, patience: 1000}")
        environment |= {"PGUSER": "loraflow", "PGPASSWORD": team.postgres.password}
    done = subprocess.run(
        words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=900
    )
    assert done.returncode == 0, done.stderr[-4000:]

    query = team.postgres.query
    assert query("prefect", "SELECT DISTINCT state_type FROM flow_run") == ["COMPLETED"]
    assert set(query("mlflow", "SELECT DISTINCT status FROM runs")) == {"FINISHED"}
    if name == "sweep":
        trials = query("optuna", "SELECT state FROM trials")
        assert trials == ["COMPLETE", "COMPLETE"]
    if name == "nightly":
        assert query("mlflow", "SELECT name, version FROM model_versions") == ["tiny|1"]
        (night,) = Line(team.folder / "nights", "tiny").nights()
        assert (night.outcome, night.version) in (("kept", 1), ("promoted", 1))
    for key, value in team.environment.items():
        monkeypatch.setenv(key, value)
    require_whole_runs(MlflowClient(team.mlflow))


def require_whole_runs(client: Any) -> None:
    """Every run that trained has its adapter and its report, which can be fetched again."""
    experiment = client.get_experiment_by_name("loraflow")
    assert experiment.artifact_location.startswith("mlflow-artifacts:/")
    runs = [
        run for run in client.search_runs([experiment.experiment_id]) if run.outputs.model_outputs
    ]
    assert runs
    for run in runs:
        (model,) = run.outputs.model_outputs
        assert client.list_logged_model_artifacts(model.model_id)
        path = Path(client.download_artifacts(run.info.run_id, "evaluate/evaluation.html"))
        assert "rougeL" in path.read_text(encoding="utf-8")


def test_no_secret_is_in_any_log(team: Team) -> None:
    secrets = [LOGIN[1], team.postgres.password]
    for log in team.folder.rglob("*log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        assert not [secret for secret in secrets if secret in text], log
