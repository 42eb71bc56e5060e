"""One experiment, whole, and where it is tracked."""

from pydantic.dataclasses import dataclass

from loraflow.config.adapter import AdapterConfig
from loraflow.config.data import DataConfig, TemplateConfig
from loraflow.config.evaluate import EvaluateConfig, JudgeConfig
from loraflow.config.model import ModelConfig, QuantizationConfig
from loraflow.config.train import TrainConfig
from loraflow.config.values import STRICT, Text, UserPath


@dataclass(frozen=True, config=STRICT)
class TrackingConfig:
    """Where MLflow keeps runs."""

    uri: Text  # database or server
    artifacts: Text | None  # folder or bucket; null: the server's own choice
    experiment: Text
    ui: Text  # where `make ui` answers, for links


@dataclass(frozen=True, config=STRICT)
class EarlierConfig:
    """A training that comes before the last one, on data of its own; the adapter goes on."""

    data: DataConfig
    template: TemplateConfig
    train: TrainConfig


@dataclass(frozen=True, config=STRICT)
class Config:
    """One experiment, whole. The sections stand in pipeline order."""

    model: ModelConfig
    data: DataConfig
    template: TemplateConfig
    quantization: QuantizationConfig
    adapter: AdapterConfig
    before: dict[Text, EarlierConfig]  # trainings in this order, each from the last one's adapter
    train: TrainConfig
    evaluate: EvaluateConfig
    judge: JudgeConfig
    tracking: TrackingConfig
    store: UserPath  # folder of finished stage outputs
