"""Results of earlier segmentations among the images of a folder."""

import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.images.io import write_picture
from ivadomed.inference.own_results import MARK, images_of


def names(folder, *suffixes):
    return [path.name for path in images_of(folder, suffixes)]


def touch(folder, *files):
    for name in files:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")


@pytest.mark.parametrize(
    "result",
    [
        "a_pred.nii.gz",
        "a_seg-manual_pred.nii.gz",
        "a_class-0_pred.nii.gz",
        "a_seg-axon_pred.png",
        "a_pred_03.nii.gz",
        "a_other-model_pred.nii",
        "a_mine.nii.gz",
    ],
)
def test_names_that_a_run_gives_beside_the_image_are_results(tmp_path, caplog, result):
    touch(tmp_path, "a.nii.gz", result)
    assert names(tmp_path, "_mine") == ["a.nii.gz"]
    assert f"1 result(s) of an earlier segmentation left out, such as {result}" in caplog.text


def test_other_names_are_images(tmp_path, caplog):
    # Without its image beside it, nothing says that a file is a result.
    files = ["a.nii.gz", "a_T1w.nii.gz", "a_spread.nii.gz", "ab_pred.nii.gz", "b_mine.nii.gz", "c_pred.png"]
    touch(tmp_path, *files)
    assert names(tmp_path, "_mine") == files
    assert not caplog.records


def test_a_mark_in_the_file_is_enough(tmp_path):
    affine = np.eye(4)
    for name, mark in (("a.nii.gz", ""), ("other.nii.gz", MARK), ("b.nii", "FSL5.0")):
        image = nib.Nifti1Image(np.ones((2, 2, 2), np.float32), affine)
        image.header["descrip"] = mark
        nib.save(image, tmp_path / name)
    for name, mark in (("c.png", ""), ("d.png", MARK)):
        write_picture(tmp_path / name, np.zeros((4, 4), np.uint8), mark)
    assert names(tmp_path) == ["a.nii.gz", "b.nii", "c.png"]


def test_images_without_content_are_left_out_and_told(tmp_path, caplog):
    (tmp_path / "a.nii.gz").symlink_to(tmp_path / "nowhere")
    (tmp_path / "b.nii.gz").write_text("/annex/objects/MD5E-s4--00.nii.gz\n")
    with pytest.raises(DataError, match=r"without content only, such as a\.nii\.gz; fetch it first"):
        images_of(tmp_path)
    touch(tmp_path, "c.nii.gz")
    assert names(tmp_path) == ["c.nii.gz"]
    assert "2 image(s) without content left out, such as a.nii.gz; fetch it first" in caplog.text


def test_a_folder_of_results_or_without_images_says_so(tmp_path):
    touch(tmp_path, "notes.txt", "._a.nii.gz")
    with pytest.raises(DataError, match="holds no image; expected"):
        images_of(tmp_path)
    touch(tmp_path, "b/x.nii.gz", "a/x.nii.gz", ".git/x.nii.gz")
    with pytest.raises(DataError, match=r"\.jpg; name the folders in it instead, a, b$"):
        images_of(tmp_path)
    write_picture(tmp_path / "d.png", np.zeros((4, 4), np.uint8), MARK)
    with pytest.raises(DataError, match=r"no image but 1 result\(s\) of segmentations, such as d\.png"):
        images_of(tmp_path)
