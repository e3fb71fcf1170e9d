"""Predicting a test set."""

from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.config.schema.predictions import Uncertainty
from ivadomed.errors import ModelError
from ivadomed.geometry.grid import Grid
from ivadomed.images.labels import LabelFile
from ivadomed.inference import testing as module
from ivadomed.inference.backends import TorchForward
from ivadomed.inference.outputs import finish, write_prediction
from ivadomed.inference.prediction import Prediction
from ivadomed.inference.testing import CaseSet, predict_cases
from ivadomed.loader.cases.case import Case
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.metrics import dice_score, specificity_score
from ivadomed.models import Network
from ivadomed.transforms import Pipeline

CPU = torch.device("cpu")
PLAIN = Pipeline.from_config({})
AFFINE = np.array([[-1.0, 0, 0, 30], [0, 0, 1.0, -3], [0, 2.0, 0, 7], [0, 0, 0, 1]])


@pytest.fixture
def case(tmp_path):
    """Return a function that writes an image in 0..1 and a label, and gives their case."""

    def make(name, image, label, classes=1):
        paths = []
        for suffix, data in (("", image.astype(np.float32)), ("_seg", label.astype(np.uint8))):
            paths.append(tmp_path / f"{name}{suffix}.nii.gz")
            nib.save(nib.Nifti1Image(data, AFFINE), paths[-1])
        return Case(name, (paths[0],), targets=((LabelFile(paths[1]),),) * classes)

    return make


class Same(Network):
    """Answers with its input, for each of K classes."""

    def __init__(self, classes=1):
        super().__init__()
        self.classes = classes

    def forward(self, x):
        return x.expand(-1, self.classes, *[-1] * (x.ndim - 2))


@pytest.fixture
def run(monkeypatch, tmp_path):
    def run(cases, recipe=None, classes=1, **options):
        opened = []
        monkeypatch.setattr(
            module,
            "open_model",
            lambda path, device, precision: opened.append(path) or TorchForward(Same(classes), device),
        )
        data = CaseSet(tuple(cases), recipe or Recipe(PLAIN), PLAIN)
        model, folder = tmp_path / "run" / "best_model.pt", tmp_path / "run" / "pred_masks"
        result = predict_cases(data, model, folder, CPU, 4, **{"metric_fns": [dice_score], **options})
        assert opened == [model]
        return result, folder

    return run


def images(seed=0, shape=(8, 5, 7)):
    rng = np.random.default_rng(seed)
    return rng.random(shape), rng.integers(0, 2, shape)


def test_predictions_are_written_on_the_grid_of_the_image(case, run):
    image, label = images()
    _, folder = run([case("sub-01_T1w", image, label)])
    assert [p.name for p in folder.iterdir()] == ["sub-01_T1w_pred.nii.gz"]
    written = nib.load(folder / "sub-01_T1w_pred.nii.gz")
    np.testing.assert_array_equal(written.affine, AFFINE)
    assert written.get_data_dtype() == np.float32
    expected = image.astype(np.float32)
    expected[expected <= 0.01] = 0
    np.testing.assert_allclose(written.get_fdata(), expected, atol=1e-6)


def test_postprocessing_and_classes(case, run):
    image, label = images()
    one = case("sub-01_T1w", image, label, classes=2)
    _, folder = run([one], classes=2, postprocessing={"binarize_prediction": {"thr": 0.5}})
    written = nib.load(folder / "sub-01_T1w_pred.nii.gz")
    assert written.shape == (8, 5, 7, 2)
    assert written.get_data_dtype() == np.uint8
    np.testing.assert_array_equal(np.asanyarray(written.dataobj)[..., 1], image.astype(np.float32) >= 0.5)


@pytest.mark.parametrize("soft_gt", [False, True])
@pytest.mark.parametrize("thr", [None, -1, 0.3, 0.5])
def test_metrics_are_means_over_the_images_after_postprocessing(case, run, thr, soft_gt):
    cases, expected = [], []
    for seed in range(3):
        image, label = images(seed)
        cases.append(case(f"sub-{seed}", image, label))
        image = image.astype(np.float32)
        guess = np.where(image > 0.01, image, 0) if thr in (None, -1) else image >= thr
        expected.append(2 * (guess * label).sum() / (guess.sum() + label.sum()))
    steps = {} if thr is None else {"binarize_prediction": {"thr": thr}}
    metrics, _ = run(cases, Recipe(PLAIN, soft_gt=soft_gt), postprocessing=steps)
    assert metrics == {"dice_score": pytest.approx(np.mean(expected), rel=1e-5)}


def test_metrics_see_what_postprocessing_removed(case, run):
    image = np.zeros((8, 5, 7))
    image[1:4, 1:3, 1:3] = 0.9
    image[7, 4, 6] = 0.9
    label = image > 0
    label[7, 4, 6] = 0
    metrics, _ = run(
        [case("sub-1", image, label)],
        postprocessing={"binarize_prediction": {"thr": 0.5}, "keep_largest": {}},
    )
    assert metrics == {"dice_score": 1}


def test_metrics_get_the_first_rater_of_each_class_on_the_grid_of_the_image(case, run, tmp_path):
    image, label = images()
    one = case("sub-1", image, label)
    other = tmp_path / "other.nii.gz"
    nib.save(nib.Nifti1Image((1 - label).astype(np.uint8), AFFINE), other)
    first = one.targets[0][0]
    one = Case(one.id, one.images, targets=((first, LabelFile(other)), None, (LabelFile(other), first)))
    seen = []
    run([one], classes=3, metric_fns=[lambda guess, truth: seen.append((guess, truth)) or 0.0])
    [(guess, truth)] = seen
    assert guess.shape == truth.shape == (3, 8, 5, 7)
    np.testing.assert_array_equal(truth, np.stack([label, np.zeros_like(label), 1 - label]))
    np.testing.assert_allclose(guess[2], np.where(image > 0.01, image, 0), atol=1e-6)


def test_samples_are_mirrored_for_the_prediction_and_not_for_its_uncertainty(case, tmp_path, monkeypatch):
    class Ramp(
        Network
    ):  # rows get the weights 0, 1, ..., 7; their mean with those of the mirror image is 3.5
        def forward(self, x):
            seen.append(len(x))
            return x * torch.arange(8).reshape(-1, 1) / 7

    seen = []
    monkeypatch.setattr(module, "open_model", lambda path, device, precision: TorchForward(Ramp(), device))
    image, label = images(shape=(8, 7, 3))
    nib.save(nib.Nifti1Image(image, np.eye(4)), tmp_path / "a.nii.gz")
    one = Case("a", (tmp_path / "a.nii.gz",), targets=case("b", image, label).targets)
    data = CaseSet((one,), Recipe(PLAIN), PLAIN, mirror_axes=(0,))
    predict_cases(data, tmp_path / "m.pt", tmp_path, CPU, 4, Uncertainty(aleatoric=True, n_it=2))
    assert seen == [4, 2, 3, 3]  # slices of two samples, of the image, and of its mirror image
    written = nib.load(tmp_path / "a_pred.nii.gz").get_fdata()
    np.testing.assert_allclose(written, np.where(image / 2 > 0.01, image / 2, 0), atol=1e-6)


def test_absent_model_is_named(case, tmp_path):
    data = CaseSet((case("a", *images()),), Recipe(PLAIN), PLAIN)
    with pytest.raises(ModelError, match=r"best_model.pt"):
        predict_cases(data, tmp_path / "best_model.pt", tmp_path, CPU, 4)


def prediction(name, image, soft):
    return Prediction(Case(name, (Path(image),)), soft, Grid(soft.shape[:3], np.eye(4)), None)


def write(name, image, soft, folder, steps, per_class=False):
    predicted = prediction(name, image, soft)
    return write_prediction(predicted, finish(predicted, steps), folder, per_class)


def test_one_file_per_class(tmp_path):
    soft = np.random.default_rng(0).random((4, 5, 3, 2)).astype(np.float32)
    files = write("sub-1", "sub-1.nii.gz", soft.copy(), tmp_path, {}, per_class=True)
    assert [f.name for f in files] == ["sub-1_class-0_pred.nii.gz", "sub-1_class-1_pred.nii.gz"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [f.name for f in files]
    for k, file in enumerate(files):
        expected = np.where(soft[..., k] <= 0.01, 0, soft[..., k])
        np.testing.assert_array_equal(nib.load(file).get_fdata(dtype=np.float32), expected)


@pytest.mark.parametrize("binary", [False, True])
def test_of_pictures_each_class_is_a_picture_too(tmp_path, binary):
    soft = np.array([[0.0, 0.2, 0.5], [0.6, 0.8, 1.0]], np.float32).reshape(2, 3, 1, 1).repeat(2, axis=3)
    soft[..., 1] = 1 - soft[..., 1]
    steps = {"binarize_prediction": {"thr": 0.5}} if binary else {}
    files = write("cut", "cut.PNG", soft, tmp_path, steps)
    assert [f.name for f in files] == ["cut_pred.nii.gz"]
    first = iio.imread(tmp_path / "cut_class-0_pred.png")
    assert first.tolist() == ([[0, 0, 255], [255, 255, 255]] if binary else [[0, 51, 128], [153, 204, 255]])
    assert iio.imread(tmp_path / "cut_class-1_pred.png").shape == (2, 3)


def test_metrics_leave_ignored_voxels_out(case, run, tmp_path):
    image, label = np.zeros((8, 5, 7)), np.zeros((8, 5, 7))
    image[:4, :, :] = 0.9
    label[2:6, :, :] = 1
    one = case("sub-1", image, label)
    ignore = np.zeros((8, 5, 7), np.uint8)
    ignore[4:] = 9
    nib.save(nib.Nifti1Image(ignore, AFFINE), tmp_path / "ignore.nii.gz")
    ignoring = replace(one, ignore=LabelFile(tmp_path / "ignore.nii.gz", (9,)))
    options = {"postprocessing": {"binarize_prediction": {"thr": 0.5}}}
    options["metric_fns"] = [dice_score, specificity_score]
    assert run([one], **options)[0] == {"dice_score": 0.5, "specificity_score": 0.5}
    # In the first four slices: TP 2, FP 2.
    metrics, folder = run([ignoring], **options)
    assert metrics == {"dice_score": pytest.approx(2 / 3), "specificity_score": 0}
    written = nib.load(folder / "sub-1_pred.nii.gz")
    np.testing.assert_array_equal(written.get_fdata(), image > 0)
