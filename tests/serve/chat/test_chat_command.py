"""`make chat` as it is started: questions through a pipe, answers out, errors short."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from loraflow.model.source import BaseModel
from tests.serve.made_adapters import make_adapter

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def chat(
    tmp_path: Path, base: BaseModel, *words: str, typed: str = ""
) -> "subprocess.CompletedProcess[str]":
    given = [
        "model=folder", f"model.location={base.folder}", "quantization=none",
        f"tracking.uri=sqlite:///{tmp_path}/mlruns/mlflow.db", f"chat.folder={tmp_path}/serving",
        "chat.max_tokens=6", *words,
    ]  # fmt: skip
    return subprocess.run(
        [sys.executable, "-m", "flows.chat", *given],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        input=typed,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_questions_through_a_pipe_are_answered(tiny_base: BaseModel, tmp_path: Path) -> None:
    folder = make_adapter(tiny_base, tmp_path / "tuned", 1)
    words = [f"chat.adapter={folder}", "chat.beside=base"]
    done = chat(tmp_path, tiny_base, *words, typed="你是谁？\n/quit\nnever asked\n")
    assert done.returncode == 0, done.stderr
    assert "base" in done.stdout and str(folder.name) in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["chat.adapter=champion"], "has no champion: nothing was promoted yet"),
        (["chat.adapter=nowhere"], "nowhere is no adapter: name champion"),
        (["chat.temperatur=1"], "did you mean chat.temperature?"),
        (["chat.max_tokens=0"], "chat.max_tokens"),
    ],
)
def test_what_the_user_can_mend_is_said_without_a_traceback(
    tiny_base: BaseModel, tmp_path: Path, words: list[str], said: str
) -> None:
    done = chat(tmp_path, tiny_base, *words)
    assert done.returncode == 2
    assert said in done.stderr and "Traceback" not in done.stderr
