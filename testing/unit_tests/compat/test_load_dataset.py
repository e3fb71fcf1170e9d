"""`load_dataset` on a BIDS data set."""

import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.errors import DataError
from ivadomed.loader.bids3d_dataset import Bids3DDataset
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.bids_dataset import BidsDataset
from ivadomed.loader.loader import load_dataset

TRANSFORMS = {
    "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 3},
    "CenterCrop": {"size": [32, 32]},
    "NormalizeInstance": {"applied_to": ["im"]},
}
UNET = {"name": "Unet", "is_2d": True}


@pytest.fixture
def load(study, tmp_path):
    """Return a function that loads two subjects of the phantom study."""

    def of(
        contrasts=("T1w", "T2w"),
        suffix=("_seg-manual",),
        model=UNET,
        transforms=TRANSFORMS,
        path=study,
        **options,
    ):
        section = {
            "path_data": [str(path)],
            "target_suffix": list(suffix),
            "extensions": [".nii.gz"],
            "roi_params": {"suffix": None, "slice_filter_roi": None},
            "contrast_params": {"contrast_lst": list(contrasts), "balance": {}},
            "slice_filter_params": {"filter_empty_mask": False, "filter_empty_input": True},
            "patch_filter_params": {"filter_empty_mask": False, "filter_empty_input": False},
            "slice_axis": "axial",
            "multichannel": False,
            **options,
        }
        bids_df = BidsDataframe(section, str(tmp_path), derivatives=True)
        subjects = sorted({name.split("_")[0] for name in bids_df.images})[:2]
        names = [name for name in bids_df.images if name.split("_")[0] in subjects]
        return load_dataset(
            bids_df, **{**section, "data_list": names, "transforms_params": transforms, "model_params": model}
        )

    return of


@pytest.fixture
def aligned(tmp_path):
    """Two subjects whose contrasts lie on one grid; the first one has no lesion file."""

    def write(path, data):
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(data, np.diag([1.5, 1.5, 3, 1])), path)

    root, rng = tmp_path / "aligned", np.random.default_rng(0)
    for subject in ("sub-01", "sub-02"):
        for contrast in ("T1w", "T2w"):
            stem = f"{subject}_{contrast}"
            labels = root / "derivatives" / "labels" / subject / "anat"
            write(root / subject / "anat" / f"{stem}.nii.gz", rng.random((32, 32, 4), np.float32))
            write(labels / f"{stem}_seg-manual.nii.gz", np.ones((32, 32, 4), np.uint8))
            if subject == "sub-02":
                write(labels / f"{stem}_lesion-manual.nii.gz", np.ones((32, 32, 4), np.uint8))
    return root


def test_2d(load):
    data = load()
    assert isinstance(data, BidsDataset)
    assert len(data.filename_pairs) == 4
    item = data[0]
    assert item["input"].shape == item["gt"].shape == (1, 32, 32)
    record = item["input_metadata"][0]
    assert record["contrast"] == "T1w"
    assert record["participant_id"] == record["input_filenames"][0].rpartition("/")[2].split("_")[0]
    assert record["gt_filenames"][0].endswith("_T1w_seg-manual.nii.gz")
    assert len(data) == sum(len(data.entries[i].stored.facts.input_varies) for i in range(4))


def test_channels_and_classes(load, aligned):
    data = load(multichannel=True, suffix=("_seg-manual", "_lesion-manual"), path=aligned)
    assert len(data.filename_pairs) == 2
    assert [len(part) for part in data.filename_pairs[0][:2]] == [2, 2]
    item = data[0]
    assert item["input"].shape == (2, 32, 32)
    assert item["gt"].shape == (2, 32, 32)
    assert [record["contrast"] for record in item["input_metadata"]] == ["T1w", "T2w"]
    lesions = [data[i]["gt"][1].any() for i in range(len(data))]
    assert lesions == [False] * 4 + [True] * 4


def test_several_raters_of_a_class(load):
    data = load(suffix=(["_seg-manual", "_lesion-manual"],))
    assert [len(names) for names in data.filename_pairs[0][1]] == [2]
    assert data[0]["gt"].shape == (1, 32, 32)


def test_3d(load):
    model = {"name": "Modified3DUNet", "is_2d": False, "length_3D": [16, 16, 8], "stride_3D": [16, 16, 8]}
    transforms = {**TRANSFORMS, "CenterCrop": {"size": [32, 32, 16]}}
    data = load(model=model, transforms=transforms)
    assert isinstance(data, Bids3DDataset)
    assert len(data) == 4 * 2 * 2 * 2
    assert data[0]["input"].shape == (1, 16, 16, 8)


def test_2d_patches_and_their_filter(load):
    model = {**UNET, "length_2D": [16, 16], "stride_2D": [16, 16]}
    options = {"model": model, "patch_filter_params": {"filter_empty_mask": True}}
    training = load(**options)
    assert all(training[i]["gt"].any() for i in range(0, len(training), 5))
    testing = load(**options, dataset_type="testing")
    assert len(testing) == 4 * len(load()) > len(training)


def test_region_of_interest(load):
    data = load(
        suffix=("_lesion-manual",),
        roi_params={"suffix": "_seg-manual", "slice_filter_roi": 3},
        transforms={"ROICrop": {"size": [16, 16]}},
    )
    item = data[len(data) // 2]
    assert item["input"].shape == item["roi"].shape == (1, 16, 16)
    assert item["roi"].sum() > 3


def test_dropout_is_for_training(load, aligned):
    options = {"multichannel": True, "is_input_dropout": True, "path": aligned}
    assert load(**options).is_input_dropout
    assert not load(**options, dataset_type="validation").is_input_dropout


def test_classifiers_get_numbers(load):
    gt = load(model={"name": "resnet18", "is_2d": True})[0]["gt"]
    assert gt.dtype == torch.uint8
    assert gt.shape == (1,)


def test_images_without_the_metadata_of_film_are_left_out(load):
    with pytest.raises(DataError, match="none of the 4 images"):
        load(metadata_type="no_such_column")
    assert len(load(metadata_type="contrasts").filename_pairs) == 4


def test_metadata_of_film_by_name(load):
    data = load(metadata_type="mri_params")
    assert data.bids_ds is data.bids_df
    assert list(data.metadata) == ["FlipAngle", "EchoTime", "RepetitionTime", "Manufacturer"]
    assert data.metadata["EchoTime"] == [case.metadata["EchoTime"] for case in data.cases]
    assert sorted(load(metadata_type="contrasts").metadata["contrasts"]) == ["T1w", "T1w", "T2w", "T2w"]
    assert load().metadata == {}


@pytest.mark.real_data
def test_real_images(real_data, tmp_path):
    section = {
        "path_data": [str(real_data / "data_testing")],
        "target_suffix": ["_seg-manual"],
        "extensions": [".nii.gz"],
        "contrast_params": {"contrast_lst": ["T2star"], "balance": {}},
        "roi_params": None,
        "slice_filter_params": None,
        "patch_filter_params": None,
        "slice_axis": "axial",
        "multichannel": False,
    }
    bids_df = BidsDataframe(section, str(tmp_path), derivatives=True)
    names = ["sub-unf01_T2star.nii.gz"]
    data = load_dataset(
        bids_df, names, {}, UNET, **{k: section[k] for k in list(section)[1:] if k != "extensions"}
    )
    assert data[0]["input"].shape == (1, 131, 141)
    assert data[0]["input"].isfinite().all()
