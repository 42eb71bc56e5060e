"""Retraining by night: what is looked for, when a challenger wins, who is told, when it starts."""

from typing import Annotated, Any, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from loraflow.config.clock import Timezone
from loraflow.config.values import STRICT, Index, PositiveFloat, PositiveInt, Text, UserPath

Outcome = Literal["promoted", "kept", "skipped", "stopped", "failed", "rolled_back"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

_FromZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]


@dataclass(frozen=True, config=STRICT)
class GateConfig:
    """When a challenger takes the champion's place."""

    rows: PositiveInt  # put apart in the first night, and frozen
    path: Text | None  # a file of rows instead
    metric: Text | None  # of the evaluation; null: the usual one of train.task
    margin: _FromZero  # the lower bound of challenger - champion must exceed it
    guards: dict[str, dict[str, Any] | None]  # what must not get worse; null leaves one out


@dataclass(frozen=True, config=STRICT)
class DriftConfig:
    """How far tonight's training rows may be from the last ones."""

    max_psi: PositiveFloat  # population stability index of any feature
    action: Literal["report", "stop"]


@dataclass(frozen=True, config=STRICT)
class HookConfig:
    """Who is told of which outcomes, and how."""

    on: Annotated[list[Outcome], Field(min_length=1)]
    command: Annotated[list[Text], Field(min_length=1)] | None  # gets the record on standard input
    webhook: Text | None  # name of the environment variable that holds the URL
    format: Literal["json", "slack", "feishu", "dingtalk", "wecom"]
    timeout_seconds: PositiveFloat


@dataclass(frozen=True, config=STRICT)
class NightConfig:
    """One line of nights: their model, their records, and how they train."""

    name: Text  # of the registered model, and of the folder of records
    folder: UserPath  # of the records of all lines
    start: Literal["base", "champion"]  # what a training starts from
    settings: Literal["config", "sweep"]  # as configured, or with what the last sweep recommends
    sweep_on: list[Weekday]  # nights that first try half and twice the r
    settle_seconds: PositiveFloat  # files written to within this time are waited for
    drift: DriftConfig
    hooks: dict[str, HookConfig]
    disk_gib: PositiveFloat  # of the store: more is tidied up


@dataclass(frozen=True, config=STRICT)
class ScheduleConfig:
    """When nights run, and how long and how often one is tried."""

    cron: Text
    timezone: Timezone
    timeout_hours: PositiveFloat
    retries: Index
    retry_minutes: PositiveFloat  # before the first; doubled for each further one
    work_pool: Text  # of Prefect
