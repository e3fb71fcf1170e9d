"""The first step of a cascade, with a "network" that thresholds the image."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.errors import ConfigError, DataError, ModelError
from ivadomed.inference.detection import Detector, prior_box
from ivadomed.loader.cases.case import Case

CPU = torch.device("cpu")
AFFINE = np.array([[-1.0, 0, 0, 30], [0, 0, 1.0, -3], [0, 2.0, 0, 7], [0, 0, 0, 1]])  # L, S, A


@pytest.fixture
def image(tmp_path):
    """Return a function that writes an image with a bright box and gives its path."""

    def make(name="sub-01_T1w", box=((2, 6), (1, 3), (4, 9)), affine=AFFINE) -> Path:
        data = np.zeros((10, 5, 12), np.float32)
        if box:
            data[tuple(slice(*ends) for ends in box)] = 2
        nib.save(nib.Nifti1Image(data, affine), tmp_path / f"{name}.nii.gz")
        return tmp_path / f"{name}.nii.gz"

    return make


def case(*images, contrasts=("T1w",)):
    return Case(images[0].name.removesuffix(".nii.gz"), images, contrasts=contrasts)


def test_boxes_lie_along_the_slice_axis_of_the_one_who_asks(threshold_model, image):
    detector = Detector.open(threshold_model(), CPU)
    cases = [case(image()), case(image("sub-02_T1w", ((0, 1), (0, 5), (0, 12))))]
    # Native axes are L, S, A: in RAS [10 - 6, 10 - 2) along R, [4, 9) along A, [1, 3) along S.
    assert list(detector.run(cases, 2)) == [[[4, 7, 4, 8, 1, 2]], [[9, 9, 0, 11, 0, 4]]]
    assert next(detector.run(cases, 0)) == [[1, 2, 4, 8, 4, 7]]  # S, A, R
    assert next(detector.run(cases, 2, safety_factor=(2, 1, 1))) == [[3, 9, 4, 8, 1, 2]]


def test_several_objects(threshold_model, image):
    path = image()
    data = np.asanyarray(nib.load(path).dataobj).copy()
    data[9, 4, 11] = 2
    nib.save(nib.Nifti1Image(data, AFFINE), path)
    detector = Detector.open(threshold_model(), CPU)
    assert next(detector.run([case(path)], 2)) == [[4, 7, 4, 8, 1, 2]]
    both = next(detector.run([case(path)], 2, keep_largest=False))
    assert both == [[4, 7, 4, 8, 1, 2], [0, 0, 11, 11, 4, 4]]


def test_an_image_without_an_object_is_used_whole(threshold_model, image, caplog):
    detector = Detector.open(threshold_model(), CPU)
    assert next(detector.run([case(image(box=None))], 2, safety_factor=(2, 2, 2))) == [[0, 9, 0, 11, 0, 4]]
    assert "sub-01_T1w.nii.gz" in caplog.text


def test_postprocessing_of_the_model_is_done(threshold_model, image):
    model = threshold_model(postprocessing={"remove_small": {"unit": "vox", "thr": 100}})
    assert next(Detector.open(model, CPU).run([case(image())], 2)) == [[0, 9, 0, 11, 0, 4]]


@pytest.mark.parametrize(
    ("model", "contrasts", "looked_at"),
    [
        (["T1w"], ("T1w", "T2w"), [0]),
        (["T2w"], ("T1w", "T2w"), [1]),
        (["T2star"], ("T1w", "T2w"), [0]),
        (["T2w", "T1w"], ("T1w", "T2w"), [1, 0]),
        (["T2w", "T1w"], ("T1w", "T2w", "T2star"), [1, 0]),
    ],
)
def test_a_model_looks_at_the_channels_it_knows(threshold_model, tmp_path, model, contrasts, looked_at):
    paths = [tmp_path / f"sub-01_{contrast}.nii.gz" for contrast in contrasts]
    detector = Detector.open(threshold_model(contrasts=model), CPU)
    assert detector.images_for(case(*paths, contrasts=contrasts)) == tuple(paths[i] for i in looked_at)


def test_a_channel_that_is_missing_is_named(threshold_model, image):
    detector = Detector.open(threshold_model(contrasts=["T1w", "FLAIR"]), CPU)
    with pytest.raises(DataError, match=r"takes T1w, FLAIR, of which the image has no FLAIR; .* are T1w"):
        list(detector.run([case(image())], 2))


def test_what_is_no_detection_model_names_the_key(threshold_model, tmp_path):
    with pytest.raises(ModelError, match=r"object_detection_params.object_detection_path: .*none"):
        Detector.open(tmp_path / "none", CPU)
    second = threshold_model("second", object_detection_params={"object_detection_path": "first"})
    with pytest.raises(ConfigError, match=r"object_detection_path: .*second works in the boxes of its own"):
        Detector.open(second, CPU)


def test_the_box_around_a_prior():
    mask = np.zeros((10, 12, 8))
    assert prior_box(np.where(mask == 0, 0.4, 0) + 0.2, "m.nii.gz") == [0, 9, 0, 11, 0, 7]
    mask[2:4, 3:6, 1] = 1
    mask[7, 9, 5] = 0.5
    mask[0] = 0.3
    assert prior_box(mask, "m.nii.gz") == [2, 7, 3, 9, 1, 5]
    assert prior_box(mask, "m.nii.gz", (1, 2, 1)) == [2, 7, 0, 12, 1, 5]
    with pytest.raises(DataError, match=r"m.nii.gz: the mask is empty"):
        prior_box(mask * 0, "m.nii.gz")
