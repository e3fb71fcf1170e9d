"""Images, priors and outputs that a packaged model cannot work with: with and without BIDS, and from Python."""

import gzip
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import imagecodecs
import nibabel as nib
import numpy as np
import pytest
import tifffile

from ivadomed.errors import IvadomedError
from ivadomed.images.io import read_image
from ivadomed.inference import segment_volume
from ivadomed.scripts import segment_image
from testing.functional_tests.faults.clear import contents

CONTRASTS = ("T1w", "T2w")


@pytest.fixture
def model(run) -> Path:
    """A packaged model of one channel."""
    return run / "seg_sc"


@pytest.fixture
def image(study, tmp_path) -> Path:
    path = tmp_path / "images" / "sub-001_T2w.nii.gz"
    path.parent.mkdir()
    shutil.copy(study / "sub-001" / "anat" / path.name, path)
    return path


def save(path: Path, data, affine=None) -> Path:
    nib.save(nib.Nifti1Image(np.asarray(data, np.float32), np.eye(4) if affine is None else affine), path)
    return path


def volume(path: Path) -> nib.Nifti1Image:
    return nib.load(path)


def fill(path: Path, value: float) -> None:
    old = volume(path)
    save(path, np.full(old.shape, value), old.affine)


def one_voxel(path: Path, value: float) -> None:
    old = volume(path)
    data = old.get_fdata(dtype=np.float32)
    data[1, 1, 1] = value
    save(path, data, old.affine)


def corrupt_gzip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 40] = bytes(40)
    path.write_bytes(bytes(content))


def cut(path: Path, keep: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * keep)])


def header(path: Path, **fields) -> None:
    """Change fields of the header by their bytes, as no library would write them."""
    if "srow" in fields:
        header(path, sform=(1,))
    places = {"dim": (40, "<8h"), "datatype": (70, "<h"), "vox_offset": (108, "<f"), "magic": (344, "4s")}
    places |= {"srow": (280, "<12f"), "sform": (254, "<h")}
    content = bytearray(gzip.decompress(path.read_bytes()))
    for name, value in fields.items():
        offset, form = places[name]
        struct.pack_into(form, content, offset, *value)
    path.write_bytes(gzip.compress(bytes(content)))


HUGE = (32767, 32767, 32767)

IMAGES = {
    "absent": (Path.unlink, "no such image file"),
    "empty": (lambda p: cut(p, 0), r"not a readable NIfTI file \(Empty file\)"),
    "text": (lambda p: p.write_text("no image"), "not a readable NIfTI file"),
    "truncated": (lambda p: cut(p, 0.6), "truncated or damaged"),
    "corrupt gzip": (corrupt_gzip, "damaged"),
    "gzip of nothing": (lambda p: p.write_bytes(gzip.compress(b"")), "not a readable NIfTI file"),
    "all NaN": (lambda p: fill(p, np.nan), "has NaN or infinite voxels"),
    "one NaN": (lambda p: one_voxel(p, np.nan), "has NaN or infinite voxels"),
    "one infinite": (lambda p: one_voxel(p, np.inf), "has NaN or infinite voxels"),
    "4D": (lambda p: save(p, np.zeros((8, 8, 4, 3))), "has 3 volumes"),
    "no voxel": (lambda p: header(p, dim=(3, 0, 4, 4, 1, 1, 1, 1)), "header"),
    "negative dimensions": (lambda p: header(p, dim=(3, -4, 4, 4, 1, 1, 1, 1)), "fix the header"),
    "too many dimensions": (lambda p: header(p, dim=(99, 4, 4, 4, 1, 1, 1, 1)), "NIfTI|header"),
    "a huge header": (
        lambda p: header(p, dim=(3, *HUGE, 1, 1, 1, 1)),
        "declares 32767x32767x32767 voxels from byte 352 on, more than the file can hold",
    ),
    "a huge header of float64": (
        lambda p: header(p, dim=(3, *HUGE, 1, 1, 1, 1), datatype=(64,)),
        "32767x32767x32767 voxels",
    ),
    "an unknown type of voxels": (lambda p: header(p, datatype=(9999,)), "NIfTI"),
    "an offset beyond the end": (lambda p: header(p, vox_offset=(1e12,)), "damaged|NIfTI"),
    "another magic": (lambda p: header(p, magic=(b"abcd",)), "NIfTI"),
    "flat affine": (
        lambda p: header(p, srow=(1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)),
        "not a voxel grid; fix the header",
    ),
}


def test_nibabel_does_not_talk_beside_the_error(image):
    header(image, datatype=(9999,))
    program = f"from ivadomed.images.io import read_image; read_image({str(image)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert "DataError" in done.stderr
    assert "not attempting fix" not in done.stderr.split("Traceback")[0]


@pytest.mark.parametrize("name", list(IMAGES))
def test_images_that_cannot_be_segmented(model, image, refused, tmp_path, name):
    breaks, message = IMAGES[name]
    breaks(image)
    out = tmp_path / "out"
    refused(
        ["-m", model, "-i", image, "-o", out],
        rf"sub-001_T2w\.nii\.gz: .*({message})",
        keeps=[image.parent, model],
        main=segment_image.main,
    )
    assert not out.exists()


def png_of_size(path: Path, width: int, height: int) -> None:
    """A small PNG whose header says that it is large."""
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0)
    data = zlib.compress(bytes(1000))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


def tiff_of_size(path: Path, width: int, height: int) -> None:
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8))
    with tifffile.TiffFile(path, mode="r+b") as file:
        tags = file.pages[0].tags
        tags["ImageWidth"].overwrite(width)
        tags["ImageLength"].overwrite(height)


def tiff_in_a_circle(path: Path) -> None:
    """The second page says that the first one follows."""
    tifffile.imwrite(path, np.zeros((2, 8, 8), np.uint8), photometric="minisblack")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        first, second = (page.offset for page in file.pages)
    (entries,) = struct.unpack_from("<H", content, second)
    struct.pack_into("<I", content, second + 2 + 12 * entries, first)
    path.write_bytes(bytes(content))


PICTURES = {
    "a huge PNG": ("a.png", lambda p: png_of_size(p, 2**31 - 1, 2**31 - 1)),
    "a PNG that unpacks to 60 GB": ("a.png", lambda p: png_of_size(p, 100_000, 100_000)),
    "a huge TIFF": ("a.tif", lambda p: tiff_of_size(p, 2**31 - 1, 2**31 - 1)),
    "a TIFF of 10 GB": ("a.tif", lambda p: tiff_of_size(p, 100_000, 100_000)),
    "a truncated JPEG": (
        "a.jpg",
        lambda p: p.write_bytes(imagecodecs.jpeg_encode(np.zeros((64, 64), np.uint8))[:-40]),
    ),
    "a PNG that is a JPEG": (
        "a.png",
        lambda p: p.write_bytes(imagecodecs.jpeg_encode(np.zeros((64, 64), np.uint8))),
    ),
    "an empty picture": ("a.png", lambda p: p.write_bytes(b"")),
}


def test_a_tiff_whose_pages_follow_each_other_in_a_circle(model, refused, tmp_path):
    tiff_in_a_circle(tmp_path / "a.tif")
    command = ["-m", model, "-i", tmp_path / "a.tif", "-o", tmp_path / "out", "--pixel-size", "1"]
    refused(command, r"a\.tif: has \d+ pages, expected one", main=segment_image.main)


@pytest.mark.parametrize("name", list(PICTURES))
def test_pictures_that_cannot_be_segmented(model, refused, tmp_path, name):
    file, make = PICTURES[name]
    make(tmp_path / file)
    refused(
        ["-m", model, "-i", tmp_path / file, "-o", tmp_path / "out", "--pixel-size", "1"],
        rf"{file}: not a readable picture",
        main=segment_image.main,
    )


@pytest.mark.parametrize("name", ["a.dcm", "a.nrrd", "a.mgz", "a.gif", "a", "a.nii.gz.txt", "a.gz"])
def test_extensions_of_other_files(model, refused, tmp_path, name):
    (tmp_path / name).write_bytes(b"x" * 400)
    refused(
        ["-m", model, "-i", tmp_path / name, "-o", tmp_path / "out"],
        rf"{name}: not an image file; expected one of \.nii\.gz",
        main=segment_image.main,
    )


def test_a_wrong_number_of_inputs(model, image, refused, package):
    two = package("two", contrasts=CONTRASTS)
    refused(
        ["-m", two, "-i", image], r"takes 2 images \(T1w, T2w\), got 1; pass one", main=segment_image.main
    )
    refused(
        ["-m", two, "-i", image, image, image], r"takes 2 images \(T1w, T2w\), got 3", main=segment_image.main
    )
    refused(["-m", two, "-i", image, "none"], "an input is None; only a HeMISUnet", main=segment_image.main)
    with pytest.raises(IvadomedError, match=r"takes 1 image .*got 2"):
        segment_volume(model, [image, image], gpu_id=None)
    with pytest.raises(IvadomedError, match=r"takes 1 image .*got 0"):
        segment_volume(model, [], gpu_id=None)


def test_channels_and_priors_on_other_grids(image, refused, package, tmp_path):
    old = volume(image)
    other = save(tmp_path / "other.nii.gz", np.zeros((9, 9, 4)))
    moved = save(
        tmp_path / "moved.nii.gz", old.get_fdata(), old.affine + np.outer([1, 0, 0, 0], [0, 0, 0, 3])
    )
    two = package("two", contrasts=CONTRASTS)
    for wrong in (other, moved):
        refused(
            ["-m", two, "-i", image, wrong],
            rf"{wrong.name} lies on another grid than .*sub-001_T2w",
            main=segment_image.main,
        )
    cropping = package(
        "cropping",
        transforms={"ROICrop": {"size": [8, 8]}},
        loader={"roi_params": {"suffix": "_seg", "slice_filter_roi": None}},
    )
    for wrong in (other, moved):
        refused(
            ["-m", cropping, "-i", image, "-p", wrong],
            rf"{wrong.name} lies on another grid than",
            main=segment_image.main,
        )
    refused(["-m", cropping, "-i", image], "region of interest", main=segment_image.main)
    refused(
        ["-m", cropping, "-i", image, "-p", tmp_path / "gone.nii.gz"],
        "gone.nii.gz: no such image file",
        main=segment_image.main,
    )


def test_an_output_that_cannot_be_written(model, image, refused, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("of the user")
    for out in (taken, taken / "below"):
        refused(["-m", model, "-i", image, "-o", out], "taken.*cannot be written", main=segment_image.main)
    assert taken.read_text() == "of the user"
    folder = tmp_path / "out" / "sub-001_T2w_seg-manual_pred.nii.gz"
    folder.mkdir(parents=True)
    refused(
        ["-m", model, "-i", image, "-o", folder.parent],
        "_pred.nii.gz: cannot be written",
        main=segment_image.main,
    )


def test_an_output_that_is_the_input(model, image, refused):
    before = contents(image.parent)
    same = ["-m", model, "-i", image, "-o", image.parent, "-s", ""]
    refused(same, "would replace an input", keeps=[image.parent], main=segment_image.main)
    link = image.with_name("link_T2w.nii.gz")
    link.symlink_to(image)
    refused(
        ["-m", model, "-i", link, "-o", image.parent, "-s", ""],
        "would replace an input",
        main=segment_image.main,
    )
    link.unlink()
    assert contents(image.parent) == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--threshold", "nan"], "binarize_prediction|--threshold"),
        (["--threshold", "7"], "binarize_prediction|--threshold"),
        (["--gpu", "first"], "--gpu: 'first'"),
        (["--pixel-size", "0"], "pixel"),
        (["--pixel-size", "-1", "2"], "pixel"),
        (["--pixel-size", "nan", "1"], "pixel"),
        (["--suffix", "_a", "_b"], "--suffix: 2 given"),
    ],
)
def test_options_that_make_no_sense(model, image, refused, tmp_path, options, message):
    command = ["-m", model, "-i", image, "-o", tmp_path / "out", *options]
    refused(command, message, keeps=[image.parent], main=segment_image.main)


def test_a_small_file_that_unpacks_to_more_than_the_memory(model, image, refused, monkeypatch):
    monkeypatch.setattr("ivadomed.runtime.memory.available_memory", lambda: 10_000)
    refused(
        ["-m", model, "-i", image],
        r"sub-001_T2w\.nii\.gz: its \d+x\d+x\d+ voxels take .* GB of memory, of which 0.0 GB are available",
        main=segment_image.main,
    )


def test_a_header_decides_before_memory_is_taken(tmp_path):
    """35 TB announced by a file of 1 KB."""
    import tracemalloc

    path = tmp_path / "a.nii"
    save(path, np.zeros((4, 4, 4)))
    content = bytearray(path.read_bytes())
    struct.pack_into("<8h", content, 40, 3, *HUGE, 1, 1, 1, 1)
    path.write_bytes(bytes(content))
    tracemalloc.start()
    try:
        with pytest.raises(IvadomedError, match=r"a\.nii: .*32767x32767x32767"):
            read_image(path)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
