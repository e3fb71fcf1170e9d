"""Which of several processes this is."""

import pytest

from ivadomed.errors import ConfigError
from ivadomed.runtime.ranks import ALONE, World, current_world

TORCHRUN = {
    "RANK": "5",
    "WORLD_SIZE": "8",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "4",
    "MASTER_ADDR": "node7",
    "MASTER_PORT": "29400",
}
SLURM = {
    "SLURM_JOB_ID": "1234567",
    "SLURM_STEP_NUM_TASKS": "6",
    "SLURM_STEP_TASKS_PER_NODE": "3(x2)",
    "SLURM_STEP_NODELIST": "gpu[07,12]",
    "SLURM_PROCID": "4",
    "SLURM_LOCALID": "1",
}


def test_torchrun():
    world = current_world(TORCHRUN)
    assert world == World(rank=5, size=8, local_rank=1, local_size=4, address="node7", port=29400)
    assert (world.node, world.nodes, world.is_first) == (1, 2, False)
    assert world.environment() == TORCHRUN


def test_slurm():
    world = current_world(SLURM)
    assert world == World(rank=4, size=6, local_rank=1, local_size=3, address="gpu07", port=15000 + 4567)
    chosen = current_world({**SLURM, "MASTER_ADDR": "here", "MASTER_PORT": "1"})
    assert (chosen.address, chosen.port) == ("here", 1)


@pytest.mark.parametrize(
    ("nodes", "first"),
    [("a1", "a1"), ("a1,b2", "a1"), ("a[3-5],b1", "a3"), ("x-[001-004,9]", "x-001"), ("", "127.0.0.1")],
)
def test_the_first_machine_of_slurm_s_list(nodes, first):
    assert current_world({**SLURM, "SLURM_STEP_NODELIST": nodes}).address == first


def test_slurm_with_uneven_machines_is_refused():
    with pytest.raises(ConfigError, match=r"SLURM runs 2,1 processes .*--ntasks-per-node"):
        current_world({**SLURM, "SLURM_STEP_TASKS_PER_NODE": "2,1"})


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"RANK": "1", "WORLD_SIZE": "2"},  # what other programs set for purposes of their own
        {
            "SLURM_NTASKS": "4",
            "SLURM_PROCID": "0",
            "SLURM_JOB_ID": "1",
        },  # the script of a batch job, without srun
        {**SLURM, "SLURM_STEP_NUM_TASKS": "1"},
    ],
)
def test_one_process(environment):
    assert current_world(environment) is ALONE
    assert (ALONE.size, ALONE.is_first, ALONE.nodes) == (1, True, 1)
