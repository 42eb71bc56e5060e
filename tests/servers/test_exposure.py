"""Nothing listens beyond this machine without a password."""

import base64
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.exposure import require_password, shown_host
from loraflow.errors import UserError
from tests.tracking.mlflow_server import free_port, wait_until_it_answers

ROOT = Path(__file__).parents[2]
ALL = "0.0.0.0"  # stands for all interfaces; the tests never listen there
PASSWORD = "a long password"
MLFLOW = {
    "MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD,
    "MLFLOW_FLASK_SERVER_SECRET_KEY": "a long random word",
}
PREFECT = {"PREFECT_SERVER_API_AUTH_STRING": f"admin:{PASSWORD}"}


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.8.9.1"])
def test_this_machine_needs_no_password(host: str) -> None:
    require_password(host, False, "set IT")


@pytest.mark.parametrize("host", [ALL, "::", "192.0.2.1", "no-such-host.invalid"])
def test_others_need_one(host: str) -> None:
    with pytest.raises(UserError, match=f"--host {host}.*set IT"):
        require_password(host, False, "set IT")
    require_password(host, True, "set IT")


def test_an_address_for_all_is_shown_as_one_that_others_can_open() -> None:
    assert shown_host(ALL) not in (ALL, "")
    assert shown_host("::1") == "[::1]"
    assert shown_host("mlflow.lab") == "mlflow.lab"


@pytest.mark.parametrize(
    ("module", "names"), [("ui", MLFLOW), ("server", PREFECT)], ids=["mlflow", "prefect"]
)
def test_the_command_refuses_and_names_what_to_set(
    module: str, names: Mapping[str, str], tmp_path: Path
) -> None:
    refused = subprocess.run(
        [sys.executable, "-m", f"flows.{module}", "--host", ALL, "--port", str(free_port())],
        cwd=tmp_path,
        env=environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert refused.returncode == 2
    assert all(name in refused.stderr for name in names)
    assert "Traceback" not in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "names", "path"),
    [
        ("ui", MLFLOW, "/api/2.0/mlflow/experiments/get?experiment_id=0"),
        ("server", PREFECT, "/api/admin/version"),
    ],
    ids=["mlflow", "prefect"],
)
def test_with_a_password_set_nobody_gets_in_without_it(
    module: str, names: Mapping[str, str], path: str, tmp_path: Path
) -> None:
    if module == "ui":
        pytest.importorskip("flask_wtf", reason="Flask-WTF, which MLflow's users need")
    with serving(module, names, tmp_path) as url:
        assert status_of(url + path) == 401
        assert status_of(url + path, f"admin:{PASSWORD}") == 200
        assert status_of(url + path, "admin:guessed") == 401
    written = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert not [file for file in written if PASSWORD.encode() in file.read_bytes()]


@contextmanager
def serving(module: str, names: Mapping[str, str], folder: Path) -> Iterator[str]:
    url = f"http://127.0.0.1:{(port := free_port())}"
    process = subprocess.Popen(
        [sys.executable, "-m", f"flows.{module}", "--port", str(port)],
        cwd=folder,
        env=environment(names),
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until_it_answers(f"{url}/health", process)
        yield url
    finally:
        os.killpg(process.pid, 9)
        process.wait(timeout=30)


def environment(names: Mapping[str, str]) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if key not in (MLFLOW | PREFECT)}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**inherited, "PYTHONPATH": path, **names}


def status_of(url: str, login: str = "") -> int:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    request = urllib.request.Request(url)
    if login:
        request.add_header("Authorization", "Basic " + base64.b64encode(login.encode()).decode())
    try:
        with opener.open(request, timeout=60) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code
