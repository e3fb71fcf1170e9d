"""HDF5 files of others: links, other files, filters, arrays that are larger than the file, damage of any kind."""

import os

import h5py
import numpy as np
import pandas as pd
import pytest

from ivadomed.compat.hdf5_samples import HDF5Dataset
from ivadomed.errors import DataError
from ivadomed.loader.checked_hdf5 import open_checked

PLACE = "sub-01/inputs/T1w"


@pytest.fixture
def path(tmp_path):
    """A small file as ``Bids_to_hdf5`` writes it, as far as it is read."""
    path = tmp_path / "data.hdf5"
    with h5py.File(path, "w") as file:
        file.attrs["patients_id"] = ["sub-01"]
        file.attrs["slice_axis"] = 2
        for kind in ("inputs", "gt"):
            file[f"sub-01/{kind}/T1w"] = np.ones((3, 8, 8), np.float32)
            file[f"sub-01/{kind}/T1w"].attrs.update({"zooms": [1.0, 1.0, 1.0], "metadata": "{}"})
    return path


def samples(path, **model):
    return HDF5Dataset(
        "nowhere", ["sub-01"], {"path_hdf5": str(path), **model}, ["_seg"], {"contrast_lst": ["T1w"]}
    )


def put(file, array=None, **options):
    attributes = dict(file[PLACE].attrs)
    del file[PLACE]
    dataset = file.create_dataset(PLACE, data=array, **options)
    dataset.attrs.update(attributes)


def virtual(file):
    layout = h5py.VirtualLayout((3, 8, 8), "f4")
    layout[:] = h5py.VirtualSource("other.hdf5", "secret", (3, 8, 8))
    del file[PLACE]
    file.create_virtual_dataset(PLACE, layout)


def gzip_twice(file):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((3, 8, 8))
    settings.set_deflate(9)
    settings.set_deflate(9)
    del file[PLACE]
    space = h5py.h5s.create_simple((3, 8, 8))
    made = h5py.h5d.create(file["sub-01/inputs"].id, b"T1w", h5py.h5t.IEEE_F32LE, space, settings)
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ones((3, 8, 8), np.float32))


def plugin(file):
    settings = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    settings.set_chunk((3, 8, 8))
    settings.set_filter(32015, h5py.h5z.FLAG_OPTIONAL, (1,))  # zstd, which is a plug-in
    del file[PLACE]
    space = h5py.h5s.create_simple((3, 8, 8))
    h5py.h5d.create(file["sub-01/inputs"].id, b"T1w", h5py.h5t.IEEE_F32LE, space, settings)


def replace_by(link):
    def change(file):
        del file[PLACE]
        file[PLACE] = link

    return change


FAULTS = {
    "external link": (
        replace_by(h5py.ExternalLink("/etc/hostname", "/")),
        "is a link to another place or file",
    ),
    "soft link": (replace_by(h5py.SoftLink("/sub-01/gt/T1w")), "is a link to another place or file"),
    "raw data in another file": (
        lambda f: put(f, shape=(3, 8, 8), dtype="f4", external=[("/etc/passwd", 0, 3 * 8 * 8 * 4)]),
        "stores its values in other files",
    ),
    "virtual data set": (virtual, "stores its values in other files"),
    "huge and empty": (
        lambda f: put(f, shape=(10**5, 10**5, 100), dtype="f4"),
        "declares 4000000000000 bytes",
    ),
    "huge and empty blocks": (
        lambda f: put(f, shape=(10**5, 10**5, 100), dtype="f4", chunks=(1, 64, 64), compression="gzip"),
        "is incomplete",
    ),
    "gzip within gzip": (gzip_twice, "needs unknown filters"),
    "filter of a plug-in": (plugin, "needs unknown filters"),
    "text": (lambda f: put(f, np.array([b"x"] * 3)), "not numbers"),
    "objects": (lambda f: put(f, shape=(3,), dtype=h5py.special_dtype(vlen=str)), "not numbers"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_a_file_must_not_make_us_read(path, name):
    change, message = FAULTS[name]
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(DataError, match=rf"data\.hdf5: /{PLACE} .*{message}"):
        samples(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.attrs.__delitem__("patients_id"), "has not the layout of ivadomed's files"),
        (lambda f: f.attrs.__setitem__("patients_id", 3), "has not the layout of ivadomed's files"),
        (lambda f: f.attrs.__setitem__("patients_id", ["sub-02"]), "has not the layout of ivadomed's files"),
        (lambda f: put(f, np.float32(1)), "has not the layout of ivadomed's files"),
        (lambda f: f[PLACE].attrs.__setitem__("metadata", "[" * 9999), "attributes of .* are not those"),
        (lambda f: f[PLACE].attrs.__setitem__("metadata", "[1]"), "attributes of .* are not those"),
        (lambda f: f[PLACE].attrs.__delitem__("zooms"), "attributes of .* are not those"),
    ],
)
def test_files_of_another_layout_are_refused(path, change, message):
    with h5py.File(path, "a") as file:
        change(file)
    with pytest.raises(DataError, match=message) as caught:
        samples(path)[0]
    assert "\n" not in str(caught.value)


def test_circles_and_depth_end(path):
    with h5py.File(path, "a") as file:
        file["sub-01/inputs/around"] = file["sub-01"]
        file.create_group("/".join(["sub-02", *"abcdefgh"]))
    assert len(samples(path)) == 3


@pytest.mark.parametrize(
    "options", [{}, {"chunks": (1, 8, 8), "compression": "gzip", "shuffle": True}, {"compression": "lzf"}]
)
def test_whole_files_are_read_in_every_process(path, options):
    with h5py.File(path, "a") as file:
        put(file, np.full((3, 8, 8), 2, np.float32), **options)
    data = samples(path, ram=False)
    assert data[0]["input"].mean() == 2
    data._handle = (os.getpid() + 1, None)  # as in a worker
    assert data[1]["input"].mean() == 2


def test_an_array_that_does_not_fit_into_memory_is_not_taken(path, monkeypatch):
    monkeypatch.setattr("ivadomed.runtime.memory.available_memory", lambda: 100)
    with pytest.raises(DataError, match=rf"data\.hdf5: {PLACE}: its 3x8x8 voxels take"):
        samples(path)


def test_a_table_names_only_places_of_the_layout(path, tmp_path):
    table = tmp_path / "table.csv"
    row = {"Subjects": "sub-01", "T1w": "sub-01/a/b/c/elsewhere", "gt/T1w": "sub-01/gt/T1w", "Slices": 0}
    pd.DataFrame([row]).to_csv(table, index=False)
    with pytest.raises(DataError, match="column T1w names places that are not <subject>/inputs/T1w"):
        samples(path, csv_path=str(table))


def test_what_is_no_hdf5_file(tmp_path):
    (tmp_path / "x.hdf5").write_bytes(b"no")
    with pytest.raises(DataError, match=r"x\.hdf5: not a readable HDF5 file"):
        open_checked(tmp_path / "x.hdf5")
