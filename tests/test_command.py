"""The command line ends with status 2 and one message for what the user can mend."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flows.command import run_command
from loraflow.config import Config
from loraflow.errors import UserError

HEAVY = {"torch", "transformers", "datasets", "mlflow"}
Command = Callable[..., list[Config]]


def run_python(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["adapter.rank=16"], "adapter.rank is not a key of the config (did you mean adapter.r?)"),
        (["quantization=nf5"], "quantization=nf5 is unknown (did you mean nf4?); choose from"),
        (["adapter.r=0", "train.optim=adam"], "the config has 2 faults\n  adapter.r=0 "),
    ],
)
def test_wrong_command_line_ends_with_status_2(
    tmp_path: Path, overrides: list[str], message: str
) -> None:
    done = run_python(tmp_path, "-m", "flows.experiment", *overrides)
    assert (done.returncode, done.stdout) == (2, "")
    assert f"error: {message}" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("arguments", [["--help"], ["--cfg", "job"]])
def test_looking_at_the_config_loads_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    done = run_python(tmp_path, "-X", "importtime", "-m", "flows.experiment", *arguments)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert done.returncode == 0
    assert "learning_rate: 0.0003" in done.stdout
    assert "loraflow.check" in imported
    assert not HEAVY & imported


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Command:
    """Run a command line in this process and return the configs that its body was given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)

    def run(*overrides: str) -> list[Config]:
        received: list[Config] = []
        monkeypatch.setattr(sys, "argv", ["experiment", *overrides])
        run_command(received.append)
        return received

    return run


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("+adapter.rank=16", "adapter.rank is not a key of the config (did you mean adapter.r?)"),
        ("adaptor=lora", "adaptor is not a key of the config (did you mean adapter?)"),
        ("experiment=medical", "experiment=medical is unknown (did you mean medical_qa?)"),
        ("model=llama", "any other model: model=hub model.location=ID"),
        ("data=alpaca", "data.path has no value: set data.path=VALUE"),
        ("tracking=server", "'MLFLOW_TRACKING_URI' not found"),
        ("train.learning_rate=nan", "train.learning_rate=nan must be finite"),
        ("adapter.r=[1", "the command line cannot be read"),
        ("adapter.r", "the command line cannot be read: Error parsing override 'adapter.r'"),
        ("adapter=null", "adapter"),
    ],
)
def test_message_names_what_to_mend(
    command: Command, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    with pytest.raises(SystemExit) as stopped:
        command(override)
    shown = capsys.readouterr().err
    assert stopped.value.code == 2
    assert shown.startswith("\nerror: ")
    assert message in shown


def test_body_gets_the_checked_config(command: Command) -> None:
    (config,) = command("adapter.r=16", "quantization=none")
    assert (config.adapter.r, config.quantization.method) == (16, "none")


@pytest.mark.parametrize(
    ("override", "path", "columns"),
    [
        ("data.path=数据.json", ["数据.json"], {}),
        ("data.path=[数据.json,b c.json]", ["数据.json", "b c.json"], {}),
        (
            "data.columns={question:问题,answer: '回 答'}",
            ["x"],
            {"question": "问题", "answer": "回 答"},
        ),
    ],
)
def test_chinese_words_need_no_quotes(
    command: Command, override: str, path: list[str], columns: dict[str, str]
) -> None:
    (config,) = command("data=file", "data.path=x", override)
    assert config.data.path == path
    assert config.data.columns == columns


def test_operator_that_is_off_is_switched_on_in_its_place(command: Command) -> None:
    (config,) = command("data.clean.pii={kinds: [email]}")
    names = list(config.data.clean)
    assert config.data.clean["pii"] == {"kinds": ["email"]}
    assert names.index("whitespace") < names.index("pii") < names.index("length")


def test_sweep_runs_the_body_once_a_value(command: Command) -> None:
    assert [config.adapter.r for config in command("-m", "adapter.r=4,8,16")] == [4, 8, 16]


def test_user_error_of_the_body_ends_with_status_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(config: Config) -> None:
        raise UserError(f"data.path={config.data.path} is empty")

    monkeypatch.setattr(sys, "argv", ["experiment"])
    with pytest.raises(SystemExit) as stopped:
        run_command(body)
    assert stopped.value.code == 2
    assert capsys.readouterr().err == "\nerror: data.path=None is empty\n"


def test_programming_error_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def body(_: Config) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(sys, "argv", ["experiment"])
    with pytest.raises(ZeroDivisionError):
        run_command(body)
