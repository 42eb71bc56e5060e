"""Where a model is loaded to."""

import pytest
import torch

from loraflow.model.load import placed
from loraflow.model.source import BaseModel


@pytest.mark.parametrize(("available", "device"), [(True, 1), (False, "cpu")])
def test_a_model_goes_to_the_gpu_that_its_process_has_taken(
    available: bool, device: int | str, tiny_base: BaseModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert placed(tiny_base)["device_map"] == {"": device}
