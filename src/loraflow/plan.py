"""The stages of one experiment and the key of each, known before any of them runs."""

from dataclasses import dataclass
from typing import Any

from loraflow.check import dump_config
from loraflow.config import Config
from loraflow.data.read import fingerprint
from loraflow.model.source import BaseModel
from loraflow.store import Key, make_key

# Raise a stage's number when a change of its code changes its output.
_VERSIONS = {"prepare": 1, "tokenize": 1, "train": 1, "evaluate": 1}


@dataclass(frozen=True)
class Plan:
    """Keys in the order of the stages; together they identify the experiment."""

    data_fingerprint: str
    prepare: Key
    tokenize: Key
    evaluate_base: Key
    train: Key
    evaluate_tuned: Key

    @property
    def experiment(self) -> Key:
        """Name the whole: two experiments with the same key have the same results."""
        return make_key(
            "experiment", 1, reads=[self.evaluate_tuned], base=self.evaluate_base.digest
        )

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
    data = {name: value for name, value in settings["data"].items() if name != "path"}
    prepare = _key("prepare", data=data, content=content)
    tokenize = _key(
        "tokenize",
        reads=[prepare],
        template=settings["template"],
        max_length=config.train.max_length,
        base=base.revision,
    )
    train = _key(
        "train",
        reads=[tokenize],
        base=base.revision,
        **{name: settings[name] for name in ("adapter", "quantization", "train")},
    )
    evaluation = {name: settings[name] for name in ("evaluate", "quantization")}
    evaluation["base"] = base.revision
    return Plan(
        data_fingerprint=content,
        prepare=prepare,
        tokenize=tokenize,
        evaluate_base=_key("evaluate", reads=[tokenize], **evaluation),
        train=train,
        evaluate_tuned=_key("evaluate", reads=[tokenize, train], **evaluation),
    )


def _key(stage: str, *, reads: list[Key] | None = None, **inputs: Any) -> Key:
    return make_key(stage, _VERSIONS[stage], reads=reads or [], **inputs)
