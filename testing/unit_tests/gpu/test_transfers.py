"""What is counted as a copy between host and device, and as a wait."""

import pytest
import torch

META = torch.device("meta")


def test_events_of_a_profile_by_their_names(module):
    names = [
        "aten::conv2d",
        "cudaLaunchKernel",
        *["Memcpy HtoD (Pinned -> Device)"] * 4,
        *["Memcpy DtoH (Device -> Pageable)"] * 2,
        "Memcpy DtoD (Device -> Device)",
        "Memset (Device)",
        *["cudaStreamSynchronize"] * 2,
        "cudaDeviceSynchronize",  # of the profiler, at its end
    ]
    transfers = module("transfers").Transfers
    assert transfers.of(names, 2) == transfers(to_device=2, to_host=1, waits=1)
    assert transfers.of([]) == transfers(0, 0, 0)


@pytest.mark.parametrize(
    ("operation", "count"),
    [
        (lambda x: x + 1, 0),
        (lambda x: float(x.sum()), 1),
        (lambda x: bool((x > 0).all()), 1),
        (lambda x: x[x > 0], 1),
        (lambda x: x.masked_fill(x > 0, 0), 0),
        (lambda x: x.to(torch.float64), 0),
    ],
)
def test_operations_whose_result_the_host_has_to_know(module, operation, count):
    with module("transfers").Waits(torch.device("cpu")) as waits:
        operation(torch.ones(3))
    assert waits.count == count


@pytest.mark.parametrize(
    ("copy", "count"),
    [
        (lambda: torch.ones(3).to(META), 1),
        (lambda: torch.ones(3).to(META, non_blocking=True), 0),
        (lambda: torch.empty(3, device=META).copy_(torch.ones(3)), 1),
        (lambda: torch.empty(3, device=META).copy_(torch.ones(3), non_blocking=True), 0),
        (lambda: torch.ones(3, device=META).to(torch.float64), 0),
    ],
)
def test_copies_that_block(module, copy, count):
    with module("transfers").Waits(META) as waits:
        copy()
    assert waits.count == count


def test_bytes_of_tensors_that_are_alive(module):
    with module("memory").PeakBytes() as counted:
        first = torch.zeros(1000)
        second = first + 1
        assert counted.now == 8000
        del second
        third = torch.zeros(100)
        view = third[:50]
    assert counted.now == 4400
    assert counted.peak == 8000
    assert view.shape == (50,)
