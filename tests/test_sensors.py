"""Energy, GPU memory, clocks and heat: the files and libraries of other machines, imitated."""

from __future__ import annotations

import itertools
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pynvml
import pytest

from edge_sam.benchmark.energy import EnergyMeter, find_power_rails
from edge_sam.benchmark.machine import Clock, describe_machine, read_clock
from edge_sam.benchmark.measure import Measurement
from edge_sam.benchmark.nvml import Nvml, open_nvml
from edge_sam.benchmark.summary import summarise
from edge_sam.benchmark.worker import Loaded, RunResult
from edge_sam.evaluation.variant import SegmenterFacts, Variant
from edge_sam.system.machine import read_text

ORIN_NANO = {"in1": "VDD_IN", "in2": "VDD_CPU_GPU_CV", "in3": "VDD_SOC"}
"""Rails of a Jetson Orin Nano by channel, as its device tree labels them."""


def lay_out(root: Path, folder: str, **files: object) -> None:
    """Write files of a system into a folder below `root`."""
    (root / folder).mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (root / folder / name).write_text(f"{content}\n")


def jetson(root: Path) -> Path:
    """A Jetson's sensor, and a fan that is none."""
    lay_out(root, "sys/class/hwmon/hwmon0", name="pwmfan", in1_label="VDD_IN", in1_input=1, curr1_input=1)
    labels = {f"{channel}_label": label for channel, label in ORIN_NANO.items()}
    volts = {"in1_input": 5000, "in2_input": 5000, "in3_input": 5000, "in7_label": "sum of shunt voltages"}
    currents = {"curr1_input": 1400, "curr2_input": 400, "curr3_input": 200}
    lay_out(root, "sys/class/hwmon/hwmon1", name="ina3221", **labels, **volts, **currents)
    return root


# Energy.


def test_the_processor_s_counters_turn_over(tmp_path: Path) -> None:
    for zone, energy in (("intel-rapl:0", 900), ("intel-rapl:0:0", 5), ("intel-rapl:1", 100)):
        lay_out(tmp_path, f"sys/class/powercap/{zone}", energy_uj=energy, max_energy_range_uj=1000)
    with EnergyMeter(root=tmp_path) as meter:
        lay_out(tmp_path, "sys/class/powercap/intel-rapl:0", energy_uj=50)
        lay_out(tmp_path, "sys/class/powercap/intel-rapl:1", energy_uj=300)
        assert meter.joules_since_last() == {"processor (RAPL)": pytest.approx((150 + 200) / 1e6)}
        assert meter.joules_since_last() == {"processor (RAPL)": 0}


def test_power_of_a_jetson_becomes_energy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("edge_sam.benchmark.energy.time", SimpleNamespace(perf_counter=lambda: now[0]))
    meter = EnergyMeter(root=jetson(tmp_path))
    now[0] = 102.0
    lay_out(tmp_path, "sys/class/hwmon/hwmon1", curr1_input=2000)
    joules = meter.joules_since_last()
    # 5 V, and 1.4 A rising to 2 A within two seconds.
    assert joules == {"VDD_IN (INA3221)": 17, "VDD_CPU_GPU_CV (INA3221)": 4, "VDD_SOC (INA3221)": 2}
    now[0] = 103.0
    assert meter.joules_since_last()["VDD_IN (INA3221)"] == 10


def test_a_burst_between_two_calls_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    current = jetson(tmp_path) / "sys/class/hwmon/hwmon1/curr1_input"
    current.write_text("0")
    looks, over = itertools.count(), threading.Event()

    def read_sensor(path: Path) -> str:
        if path != current or threading.current_thread() is threading.main_thread():
            return read_text(path)
        look = next(looks)
        if look > 1:
            over.set()
        return "100000" if look == 0 else "0"

    monkeypatch.setattr("edge_sam.benchmark.energy.read_text", read_sensor)
    with EnergyMeter(root=tmp_path) as meter:
        assert over.wait(60)
        assert meter.joules_since_last()["VDD_IN (INA3221)"] > 0


@pytest.mark.parametrize("broken", [{"in1_label": "NC"}, {"curr1_input": ""}, {"in1_input": "rubbish"}])
def test_a_channel_without_a_name_or_a_value_is_left_out(tmp_path: Path, broken: dict[str, str]) -> None:
    lay_out(jetson(tmp_path), "sys/class/hwmon/hwmon1", **broken)
    assert [rail.name for rail in find_power_rails(tmp_path)] == ["VDD_CPU_GPU_CV (INA3221)", "VDD_SOC (INA3221)"]


def test_a_machine_that_tells_nothing(tmp_path: Path) -> None:
    with EnergyMeter(root=tmp_path) as meter:
        assert meter.joules_since_last() == {}


def test_energy_of_a_row_is_a_mean() -> None:
    """A counter that moves in steps longer than a run gives 0 for most of them; their median would be 0."""
    facts = SegmenterFacts("mobile-sam", "", "w16", "onnxruntime", "CPUExecutionProvider", False, 1024, square=False)
    mask: dict[str, object] = {"size": [2, 2], "counts": b"04"}
    stages = dict.fromkeys(("read", "preprocess", "encode", "decode", "upsample"), 20.0)
    measurement = Measurement(Variant("mobile-sam"), Loaded(facts, 30.0, 20.0, 0.0), 1.0)
    measurement.masks = [[mask]]
    measurement.rounds = [[RunResult(stages, 100.0)] for _ in range(3)]
    measurement.wall_ms = [[100.0]] * 3
    measurement.joules = [{"GPU": 0.0}, {"GPU": 0.0}, {"GPU": 6.0}]
    (row,) = summarise([measurement], {1024: [[mask]]}, min_agreement=0.9)
    assert row.energy is not None
    assert row.energy["GPU"].joules_per_image == 2
    assert row.energy["GPU"].watts == pytest.approx(20)
    assert (row.load_ms, row.compile_ms) == (10, 20)


# NVIDIA's GPUs.


class Gpu:
    """Two devices behind the names of the real library, of which the second is old and counts no energy."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.used = [3 * 2**20, 4 * 2**20]
        self.millijoules = 5000
        self.reasons = [0x1, 0x4 | 0x40]

        def energy(device: int) -> int:
            if device:
                raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
            return self.millijoules

        answers: dict[str, Any] = {
            "nvmlInit": lambda: None,
            "nvmlDeviceGetCount": lambda: 2,
            "nvmlDeviceGetHandleByIndex": lambda i: i,
            "nvmlDeviceGetMemoryInfo": lambda i: SimpleNamespace(used=self.used[i]),
            "nvmlDeviceGetTotalEnergyConsumption": energy,
            "nvmlDeviceGetCurrentClocksThrottleReasons": lambda i: self.reasons[i],
        }
        for name, answer in answers.items():
            monkeypatch.setattr(pynvml, name, answer)


def test_gpus_are_added_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gpu = Gpu(monkeypatch)
    nvml = open_nvml()
    assert nvml is not None
    assert nvml.used_mb() == 7
    assert nvml.slowed_by() == {"power cap", "hardware thermal slowdown"}
    with EnergyMeter(nvml, tmp_path) as meter:
        gpu.millijoules += 2500
        assert meter.joules_since_last() == {Nvml.name: 2.5}
    limits = read_clock(nvml, tmp_path).limits
    assert limits == frozenset({"GPU power cap", "GPU hardware thermal slowdown"})


def test_a_gpu_that_tells_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A Jetson's: the library is there and supports hardly any question."""
    Gpu(monkeypatch)

    def unsupported(_: int) -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    for name in ("MemoryInfo", "TotalEnergyConsumption", "CurrentClocksThrottleReasons"):
        monkeypatch.setattr(pynvml, f"nvmlDeviceGet{name}", unsupported)
    nvml = open_nvml()
    assert nvml is not None
    assert (nvml.used_mb(), nvml.joules(), nvml.slowed_by()) == (None, None, set())
    with EnergyMeter(nvml, tmp_path) as meter:
        assert meter.joules_since_last() == {}


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", missing)
    assert open_nvml() is None


# Clocks and heat.


def test_the_machine_s_own_files_are_read(tmp_path: Path) -> None:
    for i, kilohertz in enumerate((1_000_000, 3_000_000)):
        lay_out(tmp_path, f"sys/devices/system/cpu/cpu{i}/cpufreq", scaling_cur_freq=kilohertz)
        lay_out(tmp_path, f"sys/devices/system/cpu/cpu{i}/thermal_throttle", core_throttle_count=i + 1)
    lay_out(tmp_path, "sys/class/thermal/thermal_zone0", temp=61500)
    assert read_clock(root=tmp_path) == Clock(2000, 3, 61.5, None)
    assert read_clock(root=tmp_path / "nothing") == Clock(None, None, None, None)


def test_a_board_that_is_held_back_by_heat(tmp_path: Path) -> None:
    lay_out(tmp_path, "sys/class/thermal/cooling_device0", type="pwm-fan", cur_state=4)
    lay_out(tmp_path, "sys/class/thermal/cooling_device1", type="thermal-cpufreq-0", cur_state=0)
    assert read_clock(root=tmp_path).limits == frozenset()
    lay_out(tmp_path, "sys/class/thermal/cooling_device1", cur_state=2)
    lay_out(tmp_path, "sys/class/thermal/cooling_device2", type="devfreq-17000000.gpu", cur_state=1)
    limits = read_clock(root=tmp_path).limits
    assert limits == frozenset({"thermal-cpufreq-0 (heat)", "devfreq-17000000.gpu (heat)"})


def test_notes_say_what_happened_to_the_speed() -> None:
    held = frozenset({"GPU power cap"})
    clocks = [Clock(800, 3, 50, None), Clock(2000, 3, 61.5, None), Clock(1500, 4, 90, held), Clock(1900, 5, 80, None)]
    machine = describe_machine(clocks, drift=1.3)
    assert (machine.mhz_first, machine.mhz_last, machine.mhz_min) == (2000, 1900, 1500)
    assert (machine.throttled, machine.celsius_max) == (2, 90)
    notes = " ".join(machine.notes)
    assert "fell from 2000 to 1500 MHz" in notes
    assert "throttled 2 times" in notes
    assert "speed limited by: GPU power cap" in notes
    assert "1.30 times as long" in notes
    silent = describe_machine([Clock(None, None, None, None)] * 2, drift=None)
    assert silent.notes[:2] == [
        "the processor's clock cannot be read here",
        "thermal throttling cannot be read here",
    ]
