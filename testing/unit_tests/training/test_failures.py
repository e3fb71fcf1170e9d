"""Failures of the machine in the user's words."""

import pytest
import torch

from ivadomed.errors import MachineError
from ivadomed.runtime.ranks import ALONE, World
from ivadomed.training.processes import explained

SIZES = {"training_parameters.batch_size": 18, "default_model.length_3D": [64, 64, 32]}
ADVICE = "reduce one of training_parameters.batch_size (18), default_model.length_3D ([64, 64, 32])"


def message(error, world=ALONE):
    with pytest.raises(MachineError) as caught, explained(SIZES, world):
        raise error
    return str(caught.value)


@pytest.mark.parametrize(
    "error",
    [
        torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        RuntimeError("MPS backend out of memory (MPS allocated: 8 GB)"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        MemoryError("Unable to allocate 4 TiB"),
    ],
)
def test_out_of_memory_names_the_keys_to_reduce(error):
    assert message(error) == f"out of memory; {ADVICE}"


def test_the_allocator_of_the_cpu():
    with pytest.raises(MachineError, match="out of memory; reduce one of"), explained(SIZES, ALONE):
        torch.empty(2**60)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("DataLoader worker (pid 12) is killed by signal: Killed. ", ["pid 12", "by signal Killed"]),
        ("DataLoader worker (pid(s) 12, 13) exited unexpectedly", ["pid 12, 13"]),
        (
            "DataLoader worker (pid 12) is killed by signal: Bus error. It is possible that dataloader's workers are "
            "out of shared memory. Please try to raise your shared memory limit.",
            ["pid 12", "Bus error", "--shm-size"],
        ),
    ],
)
def test_a_killed_worker(text, parts):
    told = message(RuntimeError(text))
    assert all(part in told for part in [*parts, "training_parameters.num_workers", "batch_size (18)"])


def test_a_lost_process_is_one_only_where_there_are_several():
    error = RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:1234")
    assert "another process of this training ended" in message(error, World(0, 2, 0, 2))
    with pytest.raises(RuntimeError, match="Connection closed"), explained(SIZES, ALONE):
        raise error


def test_a_network_that_cannot_be_compiled():
    error = torch._dynamo.exc.InternalTorchDynamoError("cannot trace\nat line 5")
    assert message(error) == (
        "training_parameters.compile: torch cannot compile this network (cannot trace); set it to false"
    )


@pytest.mark.parametrize(
    "error", [RuntimeError("a fault of ours"), ValueError("out of memory of another kind")]
)
def test_other_errors_keep_their_traceback(error):
    with pytest.raises(type(error)) as caught, explained(SIZES, World(0, 2, 0, 2)):
        raise error
    assert caught.value is error
