"""The steps of ``segment_volume`` under the names of 2.x."""

import nibabel as nib
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ivadomed import inference
from ivadomed.compat.pairs import filename_pair_of
from ivadomed.errors import ConfigError
from ivadomed.loader.cases.case import Case
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.loader.mri2d_segmentation_dataset import MRI2DSegmentationDataset
from ivadomed.loader.mri3d_subvolume_segmentation_dataset import MRI3DSubVolumeSegmentationDataset
from ivadomed.loader.utils import imed_collate
from ivadomed.models import FiLMedUnet, HeMISUnet, Unet, save_model
from ivadomed.models.onnx import export_onnx
from ivadomed.transforms import prepare_transforms

CPU = torch.device("cpu")


def dataset_of(case, is_3d=False, transforms=None, **options):
    both, undo = prepare_transforms(transforms or {})
    pair = [filename_pair_of(case)]
    if is_3d:
        return MRI3DSubVolumeSegmentationDataset(pair, both, slice_axis=2, **options), undo
    return MRI2DSegmentationDataset(pair, transform=both, **options), undo


def batches(dataset, size=3):
    return DataLoader(dataset, batch_size=size, collate_fn=imed_collate)


ARGUMENTS = {"depth": 1, "n_filters": 2}


@pytest.fixture
def unet(tmp_path):
    torch.manual_seed(0)
    model = Unet(**ARGUMENTS).eval()
    save_model(tmp_path / "m.pt", model, "Unet", ARGUMENTS)
    export_onnx(model, tmp_path / "m.onnx", 1, True)
    return model


@pytest.mark.parametrize("file", ["m.pt", "m.onnx"])
def test_a_batch_is_predicted(unet, tmp_path, file):
    batch = {"input": torch.rand(2, 1, 16, 16), "input_metadata": [[{}], [{}]]}
    found = inference.get_preds({}, str(tmp_path / file), {"name": "Unet"}, False, CPU, batch)
    with torch.no_grad():
        torch.testing.assert_close(found, unet(batch["input"]), rtol=1e-4, atol=1e-5)
    found[found < 0.5] = 0  # as callers do


def test_film_networks_are_told_the_metadata(tmp_path):
    torch.manual_seed(0)
    arguments = {**ARGUMENTS, "n_metadata": 2, "film_layers": [1] * 4}
    model = FiLMedUnet(**arguments).eval()
    save_model(tmp_path / "m.pt", model, "FiLMedUnet", arguments)
    cases = [Case(id=c, images=(), contrasts=(c,)) for c in ("T1w", "T2w")]
    params = {"name": "FiLMedUnet", "film_onehotencoder": FilmEncoder.fit(cases, "contrasts")}
    image = torch.rand(1, 1, 16, 16)
    for contrast, context in (("T1w", [[1.0, 0.0]]), ("T2w", [[0.0, 1.0]])):
        batch = {"input": image, "input_metadata": [[{"film_input": [contrast]}]]}
        found = inference.get_preds({}, tmp_path / "m.pt", params, False, CPU, batch)
        with torch.no_grad():
            torch.testing.assert_close(found, model(image, context))


def test_hemis_is_told_which_contrasts_are_there(tmp_path):
    torch.manual_seed(0)
    arguments = {**ARGUMENTS, "contrasts": ["T1w", "T2w"]}
    model = HeMISUnet(**arguments).eval()
    save_model(tmp_path / "m.pt", model, "HeMISUnet", arguments)
    image = torch.rand(1, 2, 16, 16)
    batch = {"input": image, "input_metadata": [[{"missing_mod": [1, 0]}, {}]]}
    found = inference.get_preds({}, tmp_path / "m.pt", {"name": "HeMISUnet"}, False, CPU, batch)
    with torch.no_grad():
        torch.testing.assert_close(found, model(list(image.split(1, 1)), torch.tensor([[True, False]])))


@pytest.mark.parametrize("stride", [[6, 7, 5], [3, 4, 5], [5, 5, 2]])
def test_patches_make_their_volume_again(make_case, stride):
    case = make_case(shape=(12, 14, 5), zooms=(1, 1, 1))
    dataset, undo = dataset_of(case, is_3d=True, length=[6, 7, 5], stride=stride)
    volume = weights = None
    done = []
    for batch in batches(dataset):
        for place in range(len(batch["input"])):
            undone, metadata, is_last, volume, weights = inference.volume_reconstruction(
                batch, batch["input"], undo, place, volume, weights
            )
            done.append(is_last)
            assert metadata[0]["input_filenames"] == [str(case.images[0])]
    assert done == [*[False] * (len(dataset) - 1), True]
    assert weights.min() >= 1
    image = dataset.handlers[0].get_pair_data()[0][0]
    np.testing.assert_allclose(volume[0], image, rtol=1e-6)
    np.testing.assert_allclose(undone[0], image, rtol=1e-6)


def test_overlapping_predictions_are_averaged_and_a_volume_begins_anew(make_case):
    dataset, undo = dataset_of(make_case(shape=(4, 4, 3)), is_3d=True, length=[4, 3, 3], stride=[4, 1, 3])
    [batch] = batches(dataset)
    pred = torch.stack([torch.full((1, 4, 3, 3), value) for value in (1.0, 3.0)])
    for _ in range(2):
        volume = weights = None
        for place in range(2):
            _, _, _, volume, weights = inference.volume_reconstruction(
                batch, pred, undo, place, volume, weights
            )
        np.testing.assert_allclose(volume[0, 0, :, 0], [1, 2, 2, 3])
        np.testing.assert_array_equal(weights[0, 0, :, 0], [1, 2, 2, 1])


def test_2d_patches_make_their_slice_again_on_the_images_grid(make_case):
    case = make_case(shape=(12, 14, 3))
    dataset, undo = dataset_of(
        case, transforms={"CenterCrop": {"size": [8, 8]}}, length=[4, 4], stride=[4, 4]
    )
    original = dataset.handlers[0].get_pair_data()[0][0]
    image = weights = None
    slices = []
    for batch in batches(dataset, 5):
        for place in range(len(batch["input"])):
            undone, metadata, is_last, image, weights = inference.image_reconstruction(
                batch, batch["input"], undo, place, image, weights
            )
            if is_last:
                slices.append(metadata[0]["slice_index"])
                expected = np.zeros((12, 14))
                expected[2:10, 3:11] = original[2:10, 3:11, slices[-1]]
                np.testing.assert_allclose(undone[0], expected, rtol=1e-6)
    assert slices == [0, 1, 2]


@pytest.mark.parametrize(
    "options",
    [{}, {"length": [6, 7], "stride": [3, 7]}, {"is_3d": True, "length": [6, 7, 5], "stride": [6, 7, 5]}],
)
def test_the_loop_of_2_x_gives_the_image(make_case, options):
    case = make_case(shape=(12, 14, 5), zooms=(1, 1, 2))
    is_3d = options.get("is_3d", False)
    dataset, undo = dataset_of(case, **options)
    loader = batches(dataset)
    context = {
        "postprocessing": {"binarize_prediction": {"thr": 0.5}},
        "loader_parameters": {"target_suffix": ["_seg-manual"]},
    }
    preds_list, slices, images = [], [], []
    state = (False, None, None, None)  # last sample, weights, volume, image
    for number, batch in enumerate(loader):
        found, suffixes, *state = inference.reconstruct_3d_object(
            context,
            batch,
            undo,
            batch["input"],
            preds_list,
            is_3d,
            "length" in options and not is_3d,
            2,
            slices,
            loader,
            [str(case.images[0])],
            number,
            *state,
        )
        images += found
        assert bool(suffixes) == (number == len(loader) - 1)
    [image] = images
    assert suffixes == ["_seg-manual"]
    original = nib.load(case.images[0])
    np.testing.assert_array_equal(image.get_fdata(), original.get_fdata() >= 0.5)
    np.testing.assert_allclose(image.affine, original.affine)


def test_options_add_and_remove_steps():
    context = {"postprocessing": {"keep_largest": {}, "fill_holes": {}, "binarize_prediction": {"thr": 0.3}}}
    assert inference.set_option({"fill_holes": 1}, {}, context, "fill_holes") == {"fill_holes": {}}
    assert inference.set_option({"keep_largest": 0}, {}, context, "keep_largest") == {}
    assert list(context["postprocessing"]) == ["fill_holes", "binarize_prediction"]
    steps = context["postprocessing"]
    options = {"binarize_prediction": 0.7, "remove_small": ["5vox"], "fill_holes": 0, "keep_largest": None}
    inference.set_postprocessing_options(options, context)
    assert context["postprocessing"] is steps
    assert steps == {"binarize_prediction": {"thr": 0.7}, "remove_small": {"unit": "vox", "thr": 5}}


def test_without_a_region_of_interest_the_crop_is_central(caplog):
    crops = {"Resample": {"hspace": 1}, "ROICrop": {"size": [8, 8]}, "NormalizeInstance": {}}
    context = {"transformation": dict(crops)}
    assert inference.process_transformations(context, "roi.nii.gz", None, {"a": 1}, 2, ["im"]) == {"a": 1}
    assert context["transformation"] == crops
    inference.process_transformations(context, None, None, {}, 2, ["im"])
    assert list(context["transformation"]) == ["Resample", "CenterCrop", "NormalizeInstance"]
    assert context["transformation"]["CenterCrop"] == {"size": [8, 8]}
    assert "center" in caplog.text


def test_the_prior_of_a_cascade_gives_its_box_to_every_channel(tmp_path):
    mask = np.zeros((10, 12, 6), np.uint8)
    mask[2:5, 3:8, 1:4] = 1
    nib.save(nib.Nifti1Image(mask, np.eye(4)), tmp_path / "prior.nii.gz")
    context = {
        "transformation": {},
        "object_detection_params": {"object_detection_path": "model", "safety_factor": None},
    }
    found = inference.process_transformations(
        context, None, str(tmp_path / "prior.nii.gz"), {}, 2, ["a", "b"]
    )
    assert [record["bounding_box"] for record in found] == [[2, 4, 3, 7, 1, 3]] * 2


def test_the_encoder_of_a_packaged_model_and_the_metadata_of_the_options(make_case, tmp_path):
    encoder = FilmEncoder.fit([Case(id=c, images=(), contrasts=(c,)) for c in ("T1w", "T2w")], "contrasts")
    encoder.save(tmp_path)
    dataset, _ = dataset_of(make_case())
    context = {
        "command": "segment",
        "loader_parameters": {"contrast_params": {"training_validation": ["T1w"]}, "target_suffix": ["_seg"]},
        "FiLMedUnet": {"applied": True, "metadata": "contrasts"},
    }
    assert inference.get_onehotencoder(context, tmp_path, {"metadata": "T2w"}, dataset) == encoder
    assert dataset[0]["input_metadata"][0]["film_input"] == ["T2w"]
    with pytest.raises(ConfigError, match=r'contrasts.*options\["metadata"\]'):
        inference.get_onehotencoder(context, tmp_path, {}, dataset)


@pytest.mark.parametrize("kind", ["pt", "onnx"])
@pytest.mark.parametrize("classes", [("_a",), ("_a", "_b")])
def test_the_loop_of_2_x_predicts_what_segment_volume_does(package, make_case, kind, classes):
    transforms = {
        "Resample": {"hspace": 0.8, "wspace": 0.8, "dspace": 1},
        "CenterCrop": {"size": [16, 16]},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    steps = {"binarize_prediction": {"thr": 0.5 if len(classes) == 1 else 0.3}}
    folder = package(
        kinds=[kind],
        classes=classes,
        transforms=transforms,
        loader={"slice_axis": "sagittal"},
        postprocessing=steps,
    )
    case = make_case(shape=(5, 18, 20), zooms=(2.0, 1.0, 1.0))
    file = str(case.images[0])
    expected, names = inference.segment_volume(str(folder), [file])

    dataset, undo = dataset_of(case, transforms=transforms, slice_axis=0)
    loader = batches(dataset)
    context = {"postprocessing": steps, "loader_parameters": {"target_suffix": list(classes)}}
    preds_list, slices, images = [], [], []
    state = (False, None, None, None)
    for number, batch in enumerate(loader):
        preds = inference.get_preds(context, str(folder / f"seg.{kind}"), {"name": "Unet"}, False, CPU, batch)
        images, suffixes, *state = inference.reconstruct_3d_object(
            context, batch, undo, preds, preds_list, False, False, 0, slices, loader, [file], number, *state
        )
    assert suffixes == names
    assert any(image.get_fdata().any() for image in expected)
    for found, image in zip(images, expected, strict=True):
        np.testing.assert_array_equal(found.get_fdata(), image.get_fdata())
        np.testing.assert_allclose(found.affine, image.affine)
