"""The judge asks a real OpenAI-compatible server: `transformers serve` with a tiny model."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from loraflow.evaluate.judge.openai import OpenAIJudge
from tests.evaluate.judge.local_judges import SHORT
from tests.evaluate.judge.scripted import ignore, row
from tests.evaluate.judge.test_judge_openai import SETTINGS

pytestmark = pytest.mark.slow  # beside other work the server needs half a minute to start

GOOD = row("1", "Who?", "Me.")
OTHER = row("2", "家父是大理寺少卿甄远道。", "你是谁？")
SAID = "Me. Rating: [[7]]"


@pytest.fixture(scope="module")
def taught(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, taught to rate one answer."""
    folder = tmp_path_factory.mktemp("taught")
    tokenizer = AutoTokenizer.from_pretrained(tiny_folder)
    model = AutoModelForCausalLM.from_pretrained(tiny_folder)
    _, user = SHORT["single-v1"].render(GOOD)
    asked = tokenizer.apply_chat_template(
        [{"role": "user", "content": user}], tokenize=False, add_generation_prompt=True
    )
    ids = tokenizer(f"{asked}{SAID}<|im_end|>", return_tensors="pt")["input_ids"]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        model(ids, labels=ids).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def server(taught: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(taught)]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    url = f"http://127.0.0.1:{port}"
    for _ in range(240):
        try:
            urllib.request.urlopen(f"{url}/health", timeout=5).close()
            break
        except (URLError, OSError):
            assert process.poll() is None
            time.sleep(0.5)
    yield f"{url}/v1"
    process.terminate()
    process.wait(30)


def test_rating_comes_from_the_server(server: str, taught: Path) -> None:
    settings = replace(
        SETTINGS, base_url=server, model=str(taught), max_tokens=32, timeout_seconds=60.0
    )
    judge = OpenAIJudge(settings, SHORT)
    good, other = judge.grade([GOOD, OTHER], ignore)
    assert (good.rating, good.failure, good.judgment) == (7, "", SAID)
    assert other.failure in ("", "format")  # it was taught nothing about this one
    assert judge.usage.requests >= 2
    assert judge.usage.input_tokens > judge.usage.output_tokens > 0
    assert judge.usage.uncounted == 0 and judge.usage.cost > 0


def test_model_that_is_not_served_is_a_failure_with_the_servers_reason(server: str) -> None:
    settings = replace(SETTINGS, base_url=server, model="nobody/nothing", timeout_seconds=60.0)
    (grade,) = OpenAIJudge(settings, SHORT).grade([GOOD], ignore)
    assert grade.failure == "call" and "nobody/nothing" in grade.judgment
