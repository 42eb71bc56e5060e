"""The README says what is there: commands, files, pictures."""

import ast
import re
from pathlib import Path
from typing import get_args, get_type_hints

import pytest

from loraflow.config import SpeedConfig, TrainConfig
from loraflow.data.operators.table import ROW_OPERATORS, SET_OPERATORS
from loraflow.data.read.layouts import LAYOUTS
from loraflow.model.methods import methods_markdown

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_make_command_exists() -> None:
    texts = [README, *(path.read_text(encoding="utf-8") for path in (ROOT / "docs").glob("*.md"))]
    named = set(re.findall(r"(?:^|[`$(] ?)make ([a-z][a-z-]+)", "\n".join(texts), re.MULTILINE))
    assert named >= {"run", "ui", "dashboard", "test"}
    assert all(f"\n{target}:" in MAKEFILE for target in named)


def test_pictures_are_there_and_small() -> None:
    pictures = re.findall(r"!\[[^]]+\]\(([^)]+)\)", README)
    assert pictures
    assert all((ROOT / picture).stat().st_size < 300_000 for picture in pictures)


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\((?!http)([^)#]+)\)", README)
    assert links
    assert all((ROOT / link).exists() for link in links)


def test_tree_has_every_file_with_its_first_line() -> None:
    for folder in ("flows", "src/loraflow"):
        for path in (ROOT / folder).rglob("*.py"):
            summary = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
            name = f"{path.parent.name}/" if path.name == "__init__.py" else path.name
            assert re.search(rf"{re.escape(name)} +{re.escape(summary)}\n", README), (
                f"the README's tree lacks: {name} {summary}"
            )


def test_error_example_is_what_the_command_says() -> None:
    command = re.search(r'\$ make run ARGS="(adapter\.r=0[^"]+)"\n(.*?)\n```', README, re.DOTALL)
    assert command
    for key in ("adapter.r=0", "quantization.method='nf5'", "train.learning_rat"):
        assert key in command[2]


@pytest.mark.parametrize(
    "names",
    [
        [*ROW_OPERATORS, *SET_OPERATORS],
        list(LAYOUTS),
        [path.stem for path in (ROOT / "conf" / "template").glob("*.yaml")],
    ],
    ids=["operators", "layouts", "templates"],
)
def test_data_page_names_every_choice(names: list[str]) -> None:
    page = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    assert [name for name in names if f"`{name}`" not in page] == []


def test_the_training_page_has_the_table_of_the_code() -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    assert methods_markdown() in page


def test_the_training_page_names_every_speed_key_optimizer_and_task() -> None:
    page = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")
    names = [*SpeedConfig.__dataclass_fields__, *choices("optim"), *choices("task")]
    assert [name for name in names if f"`{name}`" not in page] == []


def choices(key: str) -> tuple[str, ...]:
    return get_args(get_type_hints(TrainConfig)[key])
