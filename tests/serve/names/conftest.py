"""An engine on the tiny model, its names, and nights in a registry."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loraflow.model.source import BaseModel
from loraflow.serve.engine.engine import Engine
from loraflow.serve.names.names import Names
from tests.promote.registered import tracking_in
from tests.serve.names.following import Nights, names_of


@pytest.fixture
def engine(tiny_base: BaseModel) -> Iterator[Engine]:
    engine = Engine(tiny_base, answers_at_once=4, queue=8)
    yield engine
    engine.close()


@pytest.fixture
def names(engine: Engine) -> Names:
    return names_of(engine)


@pytest.fixture
def nights(tiny_base: BaseModel, tmp_path: Path) -> Nights:
    return Nights(tracking_in(tmp_path), tiny_base, tmp_path)
