"""The servers of a team: ports of this machine alone, passwords that are set, pinned images."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from loraflow.check import flatten

ROOT = Path(__file__).parents[2]
SECRET = re.compile(r"PASSWORD|SECRET|KEY|AUTH_STRING|TOKEN")
VARIABLE = re.compile(r"\$\{(\w+)([^}]*)\}")


def compose() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return loaded


SERVICES = compose()["services"]


def values() -> dict[str, Any]:
    return {
        f"{service}.{key}": value
        for service, settings in SERVICES.items()
        for key, value in flatten(settings).items()
    }


@pytest.mark.parametrize("service", SERVICES)
def test_every_port_is_of_this_machine_alone(service: str) -> None:
    settings = SERVICES[service]
    assert all(str(port).startswith("127.0.0.1:") for port in settings.get("ports", []))
    assert "network_mode" not in settings


def test_every_secret_comes_from_the_environment_and_has_no_default() -> None:
    secrets = {key: str(value) for key, value in values().items() if SECRET.search(key)}
    assert len(secrets) >= 8
    for key, value in secrets.items():
        assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), key


def test_no_other_value_holds_a_secret_with_a_default() -> None:
    for key, value in values().items():
        for name, default in VARIABLE.findall(str(value)):
            assert default.startswith(":?") or not SECRET.search(name), key
        assert not re.search(r"://[^/@:]+:(?!\$\{)[^/@]+@", str(value)), key


@pytest.mark.parametrize("service", SERVICES)
def test_every_image_is_pinned(service: str) -> None:
    assert re.search(r":\d+\.\d+", SERVICES[service]["image"])


def test_the_built_image_is_pinned_too() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
    assert re.search(r"^FROM python:\d+\.\d+\.\d+-", lines, re.MULTILINE)
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8").lower()
    words = re.search(r"requirements\.lock \\\n(.*?)\nRUN", lines, re.DOTALL)
    assert words is not None
    for package in words[1].replace("\\", "").split():
        assert "==" in package or f"\n{package}==" in locked, package


@pytest.mark.parametrize("service", sorted(set(SERVICES) - {"bucket"}))
def test_every_server_says_whether_it_is_well(service: str) -> None:
    assert SERVICES[service]["healthcheck"]["test"]


def test_docker_reads_it_and_refuses_without_passwords() -> None:
    docker = shutil.which("docker")
    if docker is None or _run(docker, "compose", "version").returncode != 0:
        pytest.skip("there is no docker compose on this machine")
    refused = _run(docker, "compose", "config", "--quiet", env={})
    assert refused.returncode != 0
    assert "set it" in refused.stderr
    names = {name for value in values().values() for name, _ in VARIABLE.findall(str(value))}
    read = _run(docker, "compose", "config", "--quiet", env=dict.fromkeys(names, "x"))
    assert read.returncode == 0, read.stderr


def _run(*command: str, env: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, check=False, timeout=60
    )
