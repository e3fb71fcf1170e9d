"""Packing of fibres and the micrographs drawn from them."""

import json

import imageio.v3 as iio
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.distance import pdist, squareform

from ivadomed.errors import ConfigError
from ivadomed.phantom import micrographs
from ivadomed.phantom.micrographs import Micrographs, Septum, draw, pack, write_micrographs


def test_fibres_do_not_overlap_and_leave_the_septum_free():
    septum = Septum(np.array([1.0, 0.0]), 15.0, 1.0)
    fibres = pack((30.0, 30.0), 0.6, 0.1, septum, np.random.default_rng(0))
    gaps = squareform(pdist(fibres.centres)) - fibres.radii[:, None] - fibres.radii[None, :]
    assert gaps[~np.eye(len(gaps), dtype=bool)].min() >= 0.1 - 1e-9
    assert (np.abs(fibres.centres[:, 0] - 15.0) >= 1.0 + fibres.radii).all()
    assert 0.4 < (np.pi * fibres.radii**2).sum() / 900 <= 0.6
    ratio = 1 - fibres.myelin / fibres.radii
    assert ratio.min() >= 0.45 - 1e-9
    assert ratio.max() <= 0.85 + 1e-9
    assert ratio.std() > 0.03


def test_axons_lie_in_myelin():
    image, axon, myelin = draw(Micrographs(size=(200, 160)), 0, 0.1)
    assert image.shape == axon.shape == myelin.shape == (160, 200)
    assert set(np.unique(axon)) == set(np.unique(myelin)) == {0, 255}
    assert not ((axon > 0) & (myelin > 0)).any()
    assert not (ndimage.binary_dilation(axon > 0) & (axon == 0) & (myelin == 0)).any()
    background = (axon == 0) & (myelin == 0)
    assert image[axon > 0].mean() < image[background].mean() < image[myelin > 0].mean()


def test_tiles_do_not_change_the_labels(monkeypatch):
    whole = draw(Micrographs(size=(150, 130)), 0, 0.1)
    monkeypatch.setattr(micrographs, "TILE", 64)
    tiled = draw(Micrographs(size=(150, 130)), 0, 0.1)
    np.testing.assert_array_equal(whole[1], tiled[1])
    np.testing.assert_array_equal(whole[2], tiled[2])


def test_data_set(tmp_path):
    root = write_micrographs(tmp_path / "data", 2, Micrographs(seed=1, size=(96, 64)))
    stem = "sub-rat1_sample-data1_SEM"
    image = iio.imread(root / "sub-rat1" / "micr" / f"{stem}.png")
    assert (image.shape, image.dtype) == ((64, 96), np.uint8)
    sidecar = json.loads((root / "sub-rat1" / "micr" / f"{stem}.json").read_text())
    assert sidecar["PixelSizeUnits"] == "um"
    assert len(sidecar["PixelSize"]) == 2
    for tissue in ("axon", "myelin"):
        label = root / "derivatives" / "labels" / "sub-rat1" / "micr" / f"{stem}_seg-{tissue}-manual.png"
        assert iio.imread(label).shape == (64, 96)
    assert (root / "samples.tsv").read_text().splitlines()[2] == "sample-data2\tsub-rat2\ttissue"
    larger = write_micrographs(tmp_path / "more", 3, Micrographs(seed=1, size=(96, 64)))
    assert (larger / "sub-rat1" / "micr" / f"{stem}.png").read_bytes() == (
        root / "sub-rat1" / "micr" / f"{stem}.png"
    ).read_bytes()


def test_refuses_nonsense(tmp_path):
    with pytest.raises(ConfigError):
        Micrographs(size=(0, 5))
    with pytest.raises(ConfigError):
        write_micrographs(tmp_path / "data", 0, Micrographs())
