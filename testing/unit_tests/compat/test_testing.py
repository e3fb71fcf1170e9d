"""Names of ``ivadomed.testing`` of 2.x."""

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from ivadomed import testing
from ivadomed.compat.pairs import filename_pair_of
from ivadomed.errors import DataError
from ivadomed.loader.mri2d_segmentation_dataset import MRI2DSegmentationDataset
from ivadomed.loader.mri3d_subvolume_segmentation_dataset import MRI3DSubVolumeSegmentationDataset
from ivadomed.loader.utils import imed_collate
from ivadomed.models import Unet
from ivadomed.transforms import prepare_transforms

PARAMS = {"name": "Unet", "out_channel": 1}
BRIGHT = 0.6


class Threshold(nn.Module):
    """Answers 1 where the image is bright."""

    def forward(self, image):
        return (image > BRIGHT).float()


def loader(cases, is_3d=False, **options):
    transforms, _ = prepare_transforms(options.pop("transforms", {}))
    pairs = [filename_pair_of(case) for case in cases]
    if is_3d:
        dataset = MRI3DSubVolumeSegmentationDataset(pairs, transforms, slice_axis=2, **options)
    else:
        dataset = MRI2DSegmentationDataset(pairs, transform=transforms, **options)
    return DataLoader(dataset, batch_size=3, collate_fn=imed_collate)


@pytest.mark.parametrize(
    "options", [{}, {"length": [5, 6], "stride": [4, 4]}, {"is_3d": True, "length": [5, 6, 4]}]
)
def test_images_are_predicted_whole_and_written(make_case, tmp_path, options):
    cases = [make_case(name, seed=seed) for seed, name in enumerate(("sub-01_T1w", "sub-02_T1w"))]
    test_loader = loader(cases, **options)
    found = testing.run_inference(test_loader, Threshold(), PARAMS, {}, tmp_path / "out", False)
    assert [len(side) for side in found] == [2, 2]
    for case, prediction, truth in zip(cases, *found, strict=True):
        image = nib.load(case.images[0]).get_fdata()
        np.testing.assert_array_equal(prediction, [image > BRIGHT])
        np.testing.assert_array_equal(truth, [nib.load(case.targets[0][0].path).get_fdata()])
        name = case.images[0].name.replace(".nii.gz", "_pred.nii.gz")
        np.testing.assert_array_equal(nib.load(tmp_path / "out" / name).get_fdata(), image > BRIGHT)


def test_transforms_are_undone(make_case, tmp_path):
    case = make_case(shape=(12, 14, 5))
    transforms = {"CenterCrop": {"size": [8, 8]}, "NormalizeInstance": {"applied_to": ["im"]}}
    test_loader = loader([case], transforms=transforms)
    [[prediction], _] = testing.run_inference(test_loader, Bright(), PARAMS, {}, tmp_path, False)
    expected = np.zeros((12, 14, 5))
    expected[2:10, 3:11] = 1
    np.testing.assert_array_equal(prediction, [expected])


class Bright(nn.Module):
    def forward(self, image):
        return torch.ones_like(image)


def test_postprocessing_is_applied_to_predictions_and_not_to_monte_carlo_samples(make_case, tmp_path):
    test_loader = loader([make_case()])
    half = lambda image: torch.full_like(image, 0.4)  # noqa: E731
    model = Lambda(half)
    steps = {"binarize_prediction": {"thr": 0.3}}
    [[hard], _] = testing.run_inference(test_loader, model, PARAMS, {}, tmp_path, False, None, steps)
    assert np.unique(hard).tolist() == [1]
    [[soft], _] = testing.run_inference(test_loader, model, PARAMS, {}, tmp_path, False, 3, steps)
    np.testing.assert_allclose(soft, 0.4)
    assert sorted(path.name for path in tmp_path.glob("*_pred*")) == [
        "sub-01_T1w_0_pred.nii.gz",
        "sub-01_T1w_0_pred_03.nii.gz",
    ]


class Lambda(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, image):
        return self.function(image)


def test_epistemic_samples_differ_and_a_number_gives_the_same_again(make_case, tmp_path):
    torch.manual_seed(0)
    model = Unet(depth=1, n_filters=2, dropout_rate=0.5)
    test_loader = loader([make_case(shape=(16, 16, 4))])
    params = {"uncertainty": {"epistemic": True, "aleatoric": False, "n_it": 2}}

    def sample(number):
        [[prediction], _] = testing.run_inference(test_loader, model, PARAMS, params, tmp_path, False, number)
        return prediction

    assert not np.array_equal(sample(0), sample(1))
    np.testing.assert_array_equal(sample(1), sample(1))


def test_other_data_sets_are_refused(tmp_path):
    with pytest.raises(DataError, match="load_dataset"):
        testing.run_inference(DataLoader([1]), Bright(), PARAMS, {}, tmp_path, False)


def test_ground_truth(make_case):
    case = make_case(classes=2)
    first, second = (str(raters[0]) for raters in case.targets)
    truth = testing.get_gt([first, None, [second, first]])
    assert truth.shape == (3, 12, 14, 5)
    np.testing.assert_array_equal(truth[0], nib.load(first).get_fdata())
    np.testing.assert_array_equal(truth[2], nib.load(second).get_fdata())
    assert not truth[1].any()
    turned = nib.load(second).as_reoriented([[2, -1], [0, 1], [1, -1]])
    nib.save(turned, second)
    np.testing.assert_array_equal(testing.get_gt([first, None, [second, first]]), truth)
    with pytest.raises(DataError, match="no class"):
        testing.get_gt([None])
