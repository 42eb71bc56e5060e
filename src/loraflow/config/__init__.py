"""The typed schema of `conf/`: names, types and limits live here, values live in YAML.

A section checks its own limits; `loraflow.check` reports every fault of a whole config at once.
"""

from loraflow.config.adapter import AdapterConfig
from loraflow.config.chat import ChatConfig
from loraflow.config.data import DataConfig, LeakConfig, SplitConfig, TemplateConfig
from loraflow.config.evaluate import ApiConfig, EvaluateConfig, JudgeConfig, MtBenchConfig
from loraflow.config.experiment import Config, EarlierConfig, TrackingConfig
from loraflow.config.export import ExportCheckConfig, ExportConfig, LicenceConfig
from loraflow.config.model import ModelConfig, QuantizationConfig
from loraflow.config.nightly import (
    DriftConfig,
    GateConfig,
    HookConfig,
    NightConfig,
    ScheduleConfig,
)
from loraflow.config.serve import AnswersConfig, LimitsConfig, ServeConfig, TrafficConfig
from loraflow.config.sweep import CompareConfig, RunnerConfig, SearchConfig, SweepConfig
from loraflow.config.train import (
    ANSWERED,
    CheckpointConfig,
    DivergenceConfig,
    EarlyStoppingConfig,
    PreferenceConfig,
    SpeedConfig,
    TrainConfig,
)

__all__ = [
    "ANSWERED",
    "AdapterConfig",
    "AnswersConfig",
    "ApiConfig",
    "ChatConfig",
    "CheckpointConfig",
    "CompareConfig",
    "Config",
    "DataConfig",
    "DivergenceConfig",
    "DriftConfig",
    "EarlierConfig",
    "EarlyStoppingConfig",
    "EvaluateConfig",
    "ExportCheckConfig",
    "ExportConfig",
    "GateConfig",
    "HookConfig",
    "JudgeConfig",
    "LeakConfig",
    "LicenceConfig",
    "LimitsConfig",
    "ModelConfig",
    "MtBenchConfig",
    "NightConfig",
    "PreferenceConfig",
    "QuantizationConfig",
    "RunnerConfig",
    "ScheduleConfig",
    "SearchConfig",
    "ServeConfig",
    "SpeedConfig",
    "SplitConfig",
    "SweepConfig",
    "TemplateConfig",
    "TrackingConfig",
    "TrafficConfig",
    "TrainConfig",
]
