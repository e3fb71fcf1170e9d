"""Checkpoints."""

import random

import numpy as np
import pytest
import torch

from ivadomed.errors import ModelError
from ivadomed.training.checkpoint import (
    KEYS,
    is_old_checkpoint,
    read_checkpoint,
    refuse_old_checkpoint,
    restore_rng,
    rng_state,
    save_checkpoint,
    seed_all,
)


def draw():
    return (
        random.random(),
        random.gauss(0, 1),
        float(np.random.rand()),
        float(np.random.randn()),
        float(torch.rand(1)),
    )


def test_all_generators_continue(tmp_path):
    seed_all(3)
    draw()
    save_checkpoint(tmp_path / "c.pth.tar", dict.fromkeys(KEYS) | {"epoch": 4, "rng": rng_state()})
    expected = [draw() for _ in range(3)]
    seed_all(9)
    state = read_checkpoint(tmp_path / "c.pth.tar")
    restore_rng(state["rng"])
    assert state["epoch"] == 4
    assert [draw() for _ in range(3)] == expected


@pytest.mark.parametrize("content", [b"", b"garbage", None])
def test_damage_is_named(tmp_path, content):
    path = tmp_path / "c.pth.tar"
    if content is None:
        save_checkpoint(path, {"epoch": 1})
        content = path.read_bytes()[:-100]
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"c.pth.tar: damaged"):
        read_checkpoint(path)


def test_absent_and_foreign(tmp_path):
    with pytest.raises(ModelError, match="no checkpoint to resume from"):
        read_checkpoint(tmp_path / "c.pth.tar")
    torch.save({"model": {}}, tmp_path / "c.pth.tar")
    with pytest.raises(ModelError, match="another version"):
        read_checkpoint(tmp_path / "c.pth.tar")
    save_checkpoint(tmp_path / "c.pth.tar", {"epoch": 1, "best": {}})
    with pytest.raises(ModelError, match="has no configuration, optimization, stopping, rng"):
        read_checkpoint(tmp_path / "c.pth.tar")


@pytest.mark.parametrize("new_archive", [True, False])
def test_a_checkpoint_of_ivadomed_2_is_recognized(tmp_path, new_archive):
    """By its keys alone; the scheduler in it is an object, which is not read."""
    path, weight = tmp_path / "checkpoint.pth.tar", torch.nn.Parameter(torch.zeros(3))
    optimizer = torch.optim.Adam([weight])
    state = {
        "epoch": 3,
        "state_dict": {"weight": weight},
        "optimizer": optimizer.state_dict(),
        "gif_dict": {"image_path": [], "slice_id": [], "gif": []},
        "scheduler": torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3),
    }
    torch.save(state, path, _use_new_zipfile_serialization=new_archive)
    assert is_old_checkpoint(path)
    with pytest.raises(
        ModelError, match=r'is of ivadomed 2.*"retrain_model": ".*best_model\.pt".*"reset": false'
    ):
        read_checkpoint(path)
    save_checkpoint(path, dict.fromkeys(KEYS))
    assert not is_old_checkpoint(path)
    refuse_old_checkpoint(path)
    assert not is_old_checkpoint(tmp_path / "absent")
