"""Device and precision."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import ConfigError
from ivadomed.runtime import device as module
from ivadomed.runtime.device import (
    batch_voxels,
    chosen_device,
    cuda,
    define_device,
    fabric_precision,
    fixed_shapes,
    has_room,
    predicts_in_half,
    training_devices,
    warn_of_absent_gpus,
)
from ivadomed.runtime.ranks import ALONE, World

CPU = torch.device("cpu")


@pytest.fixture
def machine(monkeypatch):
    """Return a function that pretends what hardware there is."""

    def pretend(gpus=0, mps=False, bf16=False):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation
        )
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return pretend


@pytest.fixture
def cpu_flags(monkeypatch, tmp_path):
    def pretend(flags):
        info = tmp_path / "cpuinfo"
        if flags is not None:
            info.write_text(f"model name\t: Some CPU\nflags\t\t: fpu sse2 {flags} avx2\n")
        monkeypatch.setattr(module, "Path", lambda name: info if name == "/proc/cpuinfo" else Path(name))

    return pretend


@pytest.mark.parametrize(
    ("gpu_id", "gpus", "expected"),
    [
        (None, 2, (False, "cpu")),
        ([], 2, (False, "cpu")),
        (0, 0, (False, "cpu")),
        ([3], 0, (False, "cpu")),
        (0, 1, (True, "cuda:0")),
        (1, 2, (True, "cuda:1")),
        ([1, 0], 2, (True, "cuda:1")),
    ],
)
def test_device(machine, gpu_id, gpus, expected):
    machine(gpus=gpus)
    used, device = define_device(gpu_id)
    assert (used, str(device)) == expected


def test_apple(machine):
    machine(mps=True)
    assert define_device(0) == (False, torch.device("mps"))
    assert define_device(None) == (False, CPU)


@pytest.mark.parametrize("gpu_id", [2, [5], -1])
def test_a_gpu_that_is_not_there_means_the_cpu(machine, gpu_id):
    machine(gpus=2)
    assert define_device(gpu_id) == (False, CPU)


@pytest.mark.parametrize(
    ("gpu_ids", "gpus", "message"),
    [
        ([0], 1, None),
        ([], 0, None),
        ([0], 0, "gpu_ids: [0], but CUDA is not available: working on the CPU."),
        ([3, 1], 0, "gpu_ids: [3, 1], but CUDA is not available: working on the CPU."),
        ([5], 2, "gpu_ids: no GPU 5; this machine has 2, counted from 0: working on the CPU."),
        ([0, 5, 7], 2, "gpu_ids: no GPU 5, 7; this machine has 2, counted from 0: working on GPU 0."),
    ],
)
def test_an_absent_gpu_is_said_once(machine, caplog, gpu_ids, gpus, message):
    machine(gpus=gpus)
    warn_of_absent_gpus(gpu_ids)
    assert [record.getMessage() for record in caplog.records] == ([message] if message else [])


@pytest.mark.parametrize(
    ("gpu_id", "gpus", "warned"), [(0, 0, 0), (None, 2, 0), (1, 2, 0), (2, 2, 1), (2, 0, 1)]
)
def test_a_caller_s_gpu(machine, caplog, gpu_id, gpus, warned):
    machine(gpus=gpus)
    expected = "cuda:1" if gpu_id == 1 else "cpu"
    assert (str(chosen_device(gpu_id)), len(caplog.records)) == (expected, warned)
    assert all(record.getMessage().startswith("gpu_id: ") for record in caplog.records)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("avx512_bf16", "bf16-mixed"),
        ("amx_bf16", "bf16-mixed"),
        ("bf16", "bf16-mixed"),
        ("avx512f", "32-true"),
        ("nobf16", "32-true"),
        (None, "32-true"),
    ],
)
def test_auto_takes_bf16_where_the_cpu_has_it(cpu_flags, flags, expected):
    cpu_flags(flags)
    assert fabric_precision("auto", CPU) == expected


@pytest.mark.parametrize(("bf16", "expected"), [(True, "bf16-mixed"), (False, "32-true")])
def test_auto_takes_bf16_only_of_gpus_that_compute_in_it(machine, bf16, expected):
    machine(gpus=1, bf16=bf16)
    assert fabric_precision("auto", torch.device("cuda", 0)) == expected


def test_auto_on_apple_is_32_bits(cpu_flags):
    cpu_flags("bf16")
    assert fabric_precision("auto", torch.device("mps")) == "32-true"


@pytest.mark.parametrize(("precision", "expected"), [("32", "32-true"), ("bf16", "bf16-mixed")])
def test_what_is_asked_for_is_taken(cpu_flags, precision, expected):
    cpu_flags("")
    assert fabric_precision(precision, CPU) == expected


def test_half_precision_needs_a_gpu():
    with pytest.raises(ConfigError, match=r'training_parameters.precision: "16" needs a GPU; use "auto"'):
        fabric_precision("16", CPU)
    assert fabric_precision("16", torch.device("cuda")) == "16-mixed"


GROUP = World(0, 4, 0, 2)


@pytest.mark.parametrize(
    ("gpu_ids", "gpus", "world", "expected"),
    [
        ([], 2, ALONE, ["cpu"]),
        ([], 0, GROUP, ["cpu", "cpu"]),
        ([0, 1], 0, ALONE, ["cpu"]),  # a machine without GPU
        ([1], 2, ALONE, ["cuda:1"]),
        ([4], 2, ALONE, ["cpu"]),
        ([7, 8, 9], 3, GROUP, ["cpu", "cpu"]),
        ([4, 1, 0], 2, ALONE, ["cuda:1", "cuda:0"]),
        ([4, 1, 0], 2, GROUP, ["cuda:1", "cuda:0"]),
        ([2, 0], 3, ALONE, ["cuda:2", "cuda:0"]),
        ([2, 0], 3, GROUP, ["cuda:2", "cuda:0"]),
        ([0], 1, GROUP, ["cuda:0", "cuda:0"]),  # SLURM shows each process a GPU of its own
    ],
)
def test_devices_of_a_training(machine, gpu_ids, gpus, world, expected):
    machine(gpus=gpus)
    assert [str(device) for device in training_devices(gpu_ids, world)] == expected


@pytest.mark.parametrize(
    ("gpu_ids", "message"),
    [
        ([0], r"lists 1 GPU\(s\), but 2 processes were started on this machine; list one GPU for each"),
        ([0, 1, 2], r"lists 3 GPU\(s\), but 2 processes"),
        ([0, 0], "lists a GPU twice"),
        ([0, 9], "no GPU 9; this machine has 3"),
    ],
)
def test_devices_that_do_not_fit_the_processes(machine, gpu_ids, message):
    machine(gpus=3)
    with pytest.raises(ConfigError, match=message):
        training_devices(gpu_ids, GROUP)


def test_apple_s_gpu_serves_one_process(machine):
    machine(mps=True)
    assert [device.type for device in training_devices([0], ALONE)] == ["mps"]
    with pytest.raises(ConfigError, match="serves one process"):
        training_devices([0], GROUP)


def test_tensors_stay_where_they_are_without_cuda():
    x = torch.zeros(2)
    assert cuda(x, cuda_available=False) is x
    assert cuda([x], cuda_available=False) == [x]


def test_tensors_are_moved_to_cuda_one_or_many():
    moved = []
    x = SimpleNamespace(to=lambda device, non_blocking: moved.append((device, non_blocking)) or "moved")
    assert cuda(x, non_blocking=True) == "moved"
    assert cuda([x, x]) == ["moved", "moved"]
    assert moved == [("cuda", True), ("cuda", False), ("cuda", False)]


@pytest.mark.parametrize(("device", "tuned"), [("cuda", True), ("cpu", False)])
def test_convolutions_are_tuned_within_a_training_on_cuda(device, tuned):
    with fixed_shapes(torch.device(device)):
        assert torch.backends.cudnn.benchmark == tuned
    assert not torch.backends.cudnn.benchmark


@given(n_filters=st.integers(1, 1 << 24), more=st.integers(1, 4))
def test_wider_networks_predict_fewer_voxels_at_a_time_on_a_cpu_but_one(n_filters, more):
    assert 1 <= batch_voxels(CPU, n_filters * more) <= batch_voxels(CPU, n_filters)
    assert batch_voxels(torch.device("cuda"), n_filters) == batch_voxels(torch.device("cuda"))


def test_a_network_of_unknown_width_predicts_two_slices_of_512x512_at_a_time_on_a_cpu():
    assert batch_voxels(CPU) == 2 * 512 * 512


@pytest.mark.parametrize(
    ("device", "precision", "capability", "expected"),
    [
        ("cuda", "auto", (8, 0), True),
        ("cuda", "bf16", (7, 0), True),
        ("cuda", "32", (9, 0), False),
        ("cuda", "auto", (6, 1), False),
        ("cpu", "auto", None, False),
        ("mps", "16", None, False),
    ],
)
def test_predictions_in_half_precision(monkeypatch, device, precision, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert predicts_in_half(torch.device(device), precision) is expected


@pytest.mark.parametrize(
    ("free", "reserved", "expected"), [(400, 0, True), (399, 0, False), (300, 150, True), (300, 140, False)]
)
def test_a_volume_takes_a_quarter_of_the_free_memory_of_a_gpu(monkeypatch, free, reserved, expected):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 1000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: reserved)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 50 if reserved else 0)
    assert has_room(torch.device("cuda"), 100) is expected


def test_there_is_always_room_on_a_cpu_and_none_on_apple_s_gpu():
    assert has_room(CPU, 1 << 60)
    assert not has_room(torch.device("mps"), 1)
