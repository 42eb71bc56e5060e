"""Every choice in `conf/` composes and passes the check; the seed experiments say what they did."""

import dataclasses
import re
from pathlib import Path
from typing import Any, cast

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from flows.command import CONF
from loraflow import config as schema
from loraflow.check import dump_config, flatten
from loraflow.config import Config
from loraflow.errors import UserError
from tests.conftest import composed

ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
SEED_EXPERIMENTS: dict[str, dict[str, Any]] = {
    "huanhuan_deepseek_7b": {
        "model.location": "deepseek-ai/deepseek-llm-7b-chat",
        "template.name": "user_assistant",
        "quantization.method": "nf4",
        "adapter.r": 8,
        "adapter.alpha": 32,
        "adapter.dropout": 0.1,
        "adapter.target_modules": ["q_proj", "v_proj"],
        "train.max_length": 384,
        "train.per_device_train_batch_size": 4,
        "train.gradient_accumulation_steps": 2,
        "train.learning_rate": 1e-4,
        "train.optim": "paged_adamw_32bit",
    },
    "chinese_chat_qlora": {
        "quantization.method": "nf4",
        "train.learning_rate": 2e-4,
        "train.per_device_train_batch_size": 4,
        "train.gradient_accumulation_steps": 4,
        "train.num_train_epochs": 3,
    },
    "medical_qa": {
        "template.name": "medical",
        "adapter.r": 32,
        "adapter.alpha": 64,
        "adapter.dropout": 0.2,
        "adapter.target_modules": ATTENTION,
    },
    "sentiment_rank": {
        "model.location": "distilbert/distilbert-base-uncased",
        "quantization.method": "none",
        "data.layout": "classify",
        "data.train_rows": 1000,
        "data.split.held_out_rows": 1000,
        "data.split.stratify_by": "label",
        "adapter.alpha": 32,
        "adapter.alpha_mode": "fixed",
        "adapter.dropout": 0.01,
        "adapter.target_modules": ["q_lin"],
        "train.task": "classify",
        "train.max_length": 512,
        "train.num_train_epochs": 10,
        "train.per_device_train_batch_size": 4,
        "train.gradient_accumulation_steps": 1,
        "train.learning_rate": 1e-3,
        "train.weight_decay": 0.01,
    },
}


def every_choice() -> list[str]:
    files = [path.relative_to(CONF).with_suffix("") for path in sorted(CONF.rglob("*.yaml"))]
    return [
        f"{file.parent.as_posix()}={file.name}"
        for file in files
        if file.parent != Path() and file.parent.name not in OF_OTHERS
    ]


# groups that an experiment does not have: tests/sweep, tests/promote, tests/serve
OF_OTHERS = ("sweep", "runner", "gate", "night", "schedule", "serve", "chat", "export")


def commands_in_comments() -> list[str]:
    texts = [path.read_text(encoding="utf-8") for path in sorted(CONF.rglob("*.yaml"))]
    return re.findall(r'^ *#.*make run ARGS="([^"]+)"', "\n".join(texts), flags=re.MULTILINE)


def composed_and_filled_in(*overrides: str) -> Config:
    """Compose, with a dummy for each value that only the user can know."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        unresolved = OmegaConf.to_container(compose("config", overrides=list(overrides)))
    missing = [key for key, value in flatten(cast(Any, unresolved)).items() if value == "???"]
    return composed(*overrides, *(f"{key}=given" for key in missing))


@pytest.fixture(autouse=True)
def tracking_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")


def test_default_config_needs_no_value_from_the_user() -> None:
    assert composed().adapter.r >= 1


WANTS = {  # what a choice does not go without, as its file says
    "adapter=full": ["quantization=none"],
    "adapter=pissa": ["quantization=none"],
    "adapter=head_only": ["train=classify"],
}


@pytest.mark.parametrize("choice", every_choice())
def test_every_choice_composes_and_passes_the_check(choice: str) -> None:
    assert isinstance(composed_and_filled_in(choice, *WANTS.get(choice, [])), Config)


@pytest.mark.parametrize("command", commands_in_comments())
def test_every_command_in_a_comment_composes(command: str) -> None:
    assert isinstance(composed(*command.split()), Config)


@pytest.mark.parametrize("choice", ["model=hub", "model=folder", "model=gguf"])
def test_model_without_location_asks_for_it(choice: str) -> None:
    with pytest.raises(UserError, match=r"model\.location"):
        composed(choice)


def test_file_without_path_asks_for_it() -> None:
    with pytest.raises(UserError, match=r"data\.path"):
        composed("data=alpaca")


@pytest.mark.parametrize("experiment", SEED_EXPERIMENTS)
def test_seed_experiment_has_the_settings_it_is_known_for(experiment: str) -> None:
    settings = flatten(dump_config(composed(f"experiment={experiment}")))
    expected = SEED_EXPERIMENTS[experiment]
    assert {key: settings[key] for key in expected} == expected


@pytest.mark.parametrize("experiment", SEED_EXPERIMENTS)
def test_model_on_the_command_line_wins_over_the_experiment(experiment: str) -> None:
    config = composed(f"experiment={experiment}", "model=smollm2_135m")
    assert config.model == composed("model=smollm2_135m").model
    assert config.adapter == composed(f"experiment={experiment}").adapter


def test_value_on_the_command_line_wins_over_the_experiment() -> None:
    config = composed("experiment=medical_qa", "adapter.r=4")
    assert (config.adapter.r, config.adapter.alpha) == (4, 64)


def test_model_of_the_hub_is_called_after_its_location() -> None:
    model = composed("model=hub", "model.location=Qwen/Qwen3-0.6B").model
    assert (model.name, model.source, model.file) == ("Qwen/Qwen3-0.6B", "hub", None)


def test_trainings_of_a_chain_have_sections_of_their_own_in_order() -> None:
    config = composed("experiment=cpt_then_sft_then_dpo")
    parts: list[Any] = [*config.before.values(), config]
    assert list(config.before) == ["cpt", "sft"]
    assert [part.train.task for part in parts] == ["text", "sft", "preference"]
    assert [part.data.layout for part in parts] == ["pydoc_topics", "pydoc", "pydoc"]
    assert [part.template.name for part in parts] == ["text", "native", "native"]
    assert [part.data.negatives for part in parts] == [[], [], ["similar", "truncated"]]
    assert parts[0].data.clean["length"] != parts[1].data.clean["length"]


def test_an_earlier_training_can_read_other_data() -> None:
    config = composed(
        "experiment=cpt_then_sft_then_dpo",
        "data@before.cpt.data=text",
        "before.cpt.data.path=corpus.jsonl",
    )
    assert config.before["cpt"].data.path == ["corpus.jsonl"]
    assert config.data.path is None


def test_tracking_server_comes_from_the_environment() -> None:
    assert composed("tracking=server").tracking.uri == "http://localhost:5000"


def test_schema_holds_no_values() -> None:
    sections = [item for item in vars(schema).values() if dataclasses.is_dataclass(item)]
    sections = [item for item in sections if item.__module__.startswith(schema.__name__)]
    fields = [field for section in sections for field in dataclasses.fields(section)]
    assert fields
    assert all(field.default is dataclasses.MISSING for field in fields)
