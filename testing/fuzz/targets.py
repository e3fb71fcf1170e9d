"""What the fuzzers call: each takes bytes and lets only our own errors pass.

A name of a ``TARGETS`` entry is that of a reader; a byte string is the content of the file (or the name) it reads.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nibabel as nib
import numpy as np

from ivadomed.config import load_config
from ivadomed.errors import IvadomedError
from ivadomed.images.io import read_classes, read_grid, read_image, split_extension
from ivadomed.images.labels import read_label
from ivadomed.loader.bids.index import read_json_object
from ivadomed.loader.bids.names import NameFault, NameRules
from ivadomed.loader.bids.tables import read_tsv
from ivadomed.loader.split.file import read_split

_FOLDER = Path(tempfile.mkdtemp(prefix="ivadomed_fuzz_"))


def _file(name: str, content: bytes) -> Path:
    path = _FOLDER / f"{os.getpid()}_{name}"
    path.write_bytes(content)
    return path


def configuration(content: bytes) -> None:
    """A JSON file as configuration."""
    load_config(_file("config.json", content))


def bids_name(content: bytes) -> None:
    """A file name; what breaks the rules is left out by the index, with ``NameFault`` as the reason."""
    name = content.decode("utf-8", "surrogateescape")
    for strict in (True, False):
        try:
            parsed = NameRules(strict).parse(name)
        except NameFault:
            continue
        assert name.endswith(parsed.extension)
        split_extension(f"{parsed.suffix}.nii.gz")


def _image(name: str, content: bytes) -> None:
    path = _file(name, content)
    for read in (read_grid, read_image, read_label, read_classes):
        try:
            read(path)
        except IvadomedError:
            continue


def nifti(content: bytes) -> None:
    """A plain NIfTI file; what is valid has voxels."""
    _image("image.nii", content)


def nifti_gz(content: bytes) -> None:
    """A NIfTI file in a valid gzip file, and the bytes as a gzip file."""
    _image("image.nii.gz", gzip.compress(content, 1))
    _image("raw.nii.gz", content)


def png(content: bytes) -> None:
    """A PNG picture."""
    _image("picture.png", content)


def tiff(content: bytes) -> None:
    """A TIFF picture."""
    _image("picture.tif", content)


def jpeg(content: bytes) -> None:
    """A JPEG picture."""
    _image("picture.jpg", content)


def split(content: bytes) -> None:
    """A split as JSON and as joblib file."""
    for name in ("split.json", "split.joblib"):
        try:
            read_split(_file(name, content))
        except IvadomedError:
            continue


def sidecar(content: bytes) -> None:
    """A JSON sidecar and a table."""
    for read in (read_json_object, lambda path: read_tsv(path, "participant_id")):
        try:
            read(_file("sidecar", content))
        except IvadomedError:
            continue


TARGETS: dict[str, Callable[[bytes], None]] = {
    target.__name__: target
    for target in (configuration, bids_name, nifti, nifti_gz, png, tiff, jpeg, split, sidecar)
}


def check(name: str, content: bytes) -> None:
    """Call a target; any error but ours passes through."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        with suppress(IvadomedError):
            TARGETS[name](content)


def seeds(name: str) -> list[bytes]:
    """Valid inputs of a target, which fuzzers change."""
    if name == "configuration":
        folder = Path(load_config.__code__.co_filename).parent
        return [path.read_bytes() for path in sorted(folder.glob("config*.json"))]
    if name == "bids_name":
        return [b"sub-01_ses-02_acq-ax_run-1_T2w.nii.gz", b"sub-01_sample-a_SEM.png"]
    if name == "split":
        return [json.dumps({"train": ["a"], "valid": ["b"], "test": ["c"]}).encode()]
    if name == "sidecar":
        return [b'{"PixelSize": [1, 2]}', b"participant_id\tage\nsub-01\t3\n"]
    return [_seed_image(name)]


def _seed_image(name: str) -> bytes:
    if name.startswith("nifti"):
        image = nib.Nifti1Image(np.arange(24, dtype=np.int16).reshape(2, 3, 4), np.eye(4))
        return bytes(image.to_bytes())
    import imagecodecs
    import tifffile

    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    if name == "tiff":
        path = _FOLDER / "seed.tif"
        tifffile.imwrite(path, pixels)
        return path.read_bytes()
    return bytes(imagecodecs.png_encode(pixels) if name == "png" else imagecodecs.jpeg_encode(pixels))
