"""Energy is that of whole packages, counters that start over included; unreadable is None."""

import sys
from pathlib import Path
from types import ModuleType

import pytest

from loraflow.energy import EnergyMeter
from loraflow.measure import measured


class Zone:
    """A counter of RAPL, as Linux shows it."""

    def __init__(self, powercap: Path, number: str, name: str, largest: int = 1_000_000) -> None:
        self._folder = powercap / f"intel-rapl:{number}"
        self._folder.mkdir()
        (self._folder / "name").write_text(f"{name}\n")
        (self._folder / "max_energy_range_uj").write_text(f"{largest}\n")
        self.set(0)

    def set(self, microjoules: int) -> None:
        (self._folder / "energy_uj").write_text(f"{microjoules}\n")


def test_packages_are_added_up_and_zones_inside_them_are_not(tmp_path: Path) -> None:
    zones = [
        Zone(tmp_path, "0", "package-0"),
        Zone(tmp_path, "1", "package-1"),
        Zone(tmp_path, "0:0", "core"),
        Zone(tmp_path, "2", "psys"),
    ]
    with EnergyMeter(tmp_path) as meter:
        for zone in zones:
            zone.set(500_000)
    assert meter.joules == pytest.approx(1.0)


def test_counter_that_starts_over_goes_on(tmp_path: Path) -> None:
    zone = Zone(tmp_path, "0", "package-0", largest=1_000_000)
    zone.set(900_000)
    with EnergyMeter(tmp_path) as meter:
        zone.set(200_000)
    assert meter.joules == pytest.approx(0.3)


def test_energy_before_the_block_does_not_count(tmp_path: Path) -> None:
    zone = Zone(tmp_path, "0", "package-0")
    zone.set(700_000)
    with EnergyMeter(tmp_path) as meter:
        pass
    assert meter.joules == 0


def test_counter_that_cannot_be_read_gives_none(tmp_path: Path) -> None:
    Zone(tmp_path, "0", "package-0").set(0)
    (tmp_path / "intel-rapl:0" / "energy_uj").unlink()
    with EnergyMeter(tmp_path) as meter:
        pass
    assert meter.joules is None


def test_machine_without_counters_gives_none(tmp_path: Path) -> None:
    with EnergyMeter(tmp_path / "nosuch") as meter:
        pass
    assert meter.joules is None


def test_visible_gpus_are_added(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    millijoules = {0: 5_000, 1: 7_000, 2: 9_000}
    nvml = ModuleType("pynvml")
    nvml.NVMLError = OSError  # type: ignore[attr-defined]
    nvml.nvmlInit = lambda: None  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetCount = lambda: 3  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetHandleByIndex = lambda number: number  # type: ignore[attr-defined]
    nvml.nvmlDeviceGetTotalEnergyConsumption = millijoules.get  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,2")
    with EnergyMeter(tmp_path) as meter:
        millijoules |= {0: 6_000, 1: 8_000, 2: 11_000}
    assert meter.joules == pytest.approx(3.0)


def test_cost_of_a_block_has_its_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    zone = Zone(tmp_path, "0", "package-0")
    monkeypatch.setattr("loraflow.measure.EnergyMeter", lambda: EnergyMeter(tmp_path))
    with measured() as cost:
        zone.set(250_000)
    assert cost.energy_joules == pytest.approx(0.25)
    assert cost.as_dict()["energy_joules"] == 0.25
