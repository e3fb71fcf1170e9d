"""HDF5 files on disks that fill up."""

import h5py
import numpy as np
import pytest

from ivadomed.errors import OutputError
from ivadomed.geometry.windows import Window
from ivadomed.loader.checked_hdf5 import add_array, checked_hdf5, is_allocated
from ivadomed.loader.prepared.files import HDF5Case
from ivadomed.loader.prepared.prepare import Prepared
from ivadomed.loader.slices import SliceStatistics

IMAGE = np.random.default_rng(0).normal(size=(1, 40, 48, 24)).astype(np.float32)
PREPARED = Prepared(IMAGE, IMAGE > 0, [], SliceStatistics([True], [[True]], []), (1.0, 1.0, 1.0))


@pytest.fixture(scope="module")
def whole_size(tmp_path_factory) -> int:
    path = tmp_path_factory.mktemp("whole") / "a.h5"
    HDF5Case.write(path, PREPARED, is_2d=False)
    return path.stat().st_size


@pytest.mark.parametrize("share", [*np.linspace(0, 0.999, 23), 1])
def test_a_case_on_a_full_disk_is_whole_or_not_there(tmp_path, whole_size, largest_file, share, capfd):
    path = tmp_path / "a.h5"
    if share < 1:
        with largest_file(int(share * whole_size)), pytest.raises(OutputError, match="cannot be written"):
            HDF5Case.write(path, PREPARED, is_2d=False)
        assert HDF5Case.open(path) is None
        assert not list(tmp_path.iterdir())
    else:
        with largest_file(whole_size):
            HDF5Case.write(path, PREPARED, is_2d=False)
        image, target = HDF5Case.open(path).read(Window(0, (0, 0, 0), IMAGE.shape[1:]))
        np.testing.assert_array_equal(image, IMAGE)
        np.testing.assert_array_equal(target, IMAGE > 0)
    assert capfd.readouterr().err == ""  # nothing of the library's own


@pytest.mark.parametrize("share", np.linspace(0, 0.99, 8))
def test_many_arrays_in_one_file_on_a_full_disk(tmp_path, largest_file, share):
    def write(path):
        with checked_hdf5(path) as file:
            for number in range(20):
                add_array(file.create_group(f"sub-{number:02d}"), "inputs/T1w", IMAGE[0] + number)

    write(tmp_path / "whole.h5")
    size = (tmp_path / "whole.h5").stat().st_size
    (tmp_path / "old.h5").write_bytes(b"what was there before")
    with largest_file(int(share * size)), pytest.raises(OutputError, match="cannot be written"):
        write(tmp_path / "old.h5")
    assert (tmp_path / "old.h5").read_bytes() == b"what was there before"
    with h5py.File(tmp_path / "whole.h5") as file:
        np.testing.assert_array_equal(file["sub-07/inputs/T1w"], IMAGE[0] + 7)


def test_what_reads_back_differently_gets_no_name(tmp_path):
    with (
        pytest.raises(OutputError, match="its content differs from what was written"),
        checked_hdf5(tmp_path / "a.h5") as file,
    ):
        add_array(file, "image", IMAGE)[0, 3, 3, 3] += 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "array", [np.zeros((0, 3)), np.arange(5), np.array(2.5), np.ones((3, 2, 2, 2), np.uint8)]
)
def test_arrays_of_any_shape(tmp_path, array):
    with checked_hdf5(tmp_path / "a.h5") as file:
        add_array(file, "x", array)
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["x"][()], array)


def test_a_case_with_a_block_that_was_never_written_is_prepared_anew(tmp_path):
    path = tmp_path / "a.h5"
    HDF5Case.write(path, PREPARED, is_2d=False)
    with h5py.File(path, "r+") as file:
        dataset = file["image"]
        kept, chunks, checksum = dataset[...], dataset.chunks, dataset.attrs["crc32"]
        del file["image"]
        damaged = file.create_dataset("image", kept.shape, kept.dtype, chunks=chunks)
        damaged.attrs["crc32"] = checksum
        damaged[:, :16] = kept[:, :16]
        assert not is_allocated(damaged, 1 << 40)
    assert HDF5Case.open(path) is None
