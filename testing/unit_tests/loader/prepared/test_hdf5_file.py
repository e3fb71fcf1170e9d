"""Prepared cases in HDF5 files."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from ivadomed.geometry.windows import Window
from ivadomed.loader.prepared.files import HDF5Case
from ivadomed.loader.prepared.prepare import Prepared
from ivadomed.loader.slices import SliceStatistics

FACTS = SliceStatistics([True], [[True]], [])


def written(path: Path, shape: tuple[int, ...], is_2d: bool) -> HDF5Case:
    """A file of noise, which cannot be compressed."""
    noise = np.random.default_rng(0).integers(0, 2**32, shape, np.uint32).view(np.float32)
    HDF5Case.write(path, Prepared(np.nan_to_num(noise), noise > 0, [], FACTS, (1.0, 1.0, 1.0)), is_2d)
    return HDF5Case.open(path)


def bytes_read() -> int:
    counters = Path("/proc/self/io").read_text().split("\n")
    return next(int(line.split()[1]) for line in counters if line.startswith("rchar"))


@pytest.mark.skipif(
    not Path("/proc/self/io").exists(), reason="only Linux counts the bytes that a process reads"
)
@pytest.mark.parametrize(
    ("shape", "is_2d", "window", "times"),
    [
        ((1, 160, 144, 96), False, Window(0, (17, 33, 9), (64, 64, 64)), 2),
        ((1, 128, 128, 24), False, Window(0, (64, 32, 0), (48, 48, 24)), 2),
        ((2, 1, 1000, 900), True, Window(0, (300, 200, 1), (512, 512, 1)), 2),
        ((8, 2, 128, 128), True, Window(0, (0, 0, 5), (128, 128, 1)), 1.1),
    ],
)
def test_a_sample_reads_little_more_than_itself(tmp_path, shape, is_2d, window, times):
    case = written(tmp_path / "a.h5", shape, is_2d)
    case.read(window)  # what the first use imports and sets up
    before = bytes_read()
    image, target = case.read(window)
    read = bytes_read() - before
    assert image.nbytes < read < times * (image.nbytes + target.size)


def test_the_file_describes_itself(tmp_path):
    written(tmp_path / "a.h5", (4, 2, 30, 20), is_2d=True)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["image"].shape == file["target"].shape == (4, 2, 30, 20)
        assert file["target"].dtype == np.uint8
        assert dict(file.attrs.items()).keys() == {"format", "is_2d", "zooms"}
        assert file["facts"].attrs["labelled"].tolist() == [[True]]


def test_facts_of_any_size_come_back(tmp_path):
    many = SliceStatistics(
        [True, False] * 20000, [[True, False, True]] * 40000, [], foreground=["", "x" * 99]
    )
    prepared = Prepared(np.zeros((1, 1, 2, 2)), np.zeros((1, 3, 2, 2)), [], many, (0.1, 0.2, 3.0))
    HDF5Case.write(tmp_path / "a.h5", prepared, is_2d=True)
    stored = HDF5Case.open(tmp_path / "a.h5").stored
    assert stored.facts == many
    assert stored.zooms == (0.1, 0.2, 3.0)
