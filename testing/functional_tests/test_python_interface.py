"""The documented Python interface from the data to the uncertainty, as the manual and 2.9.10 have it."""

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import torch

from ivadomed import evaluation, losses, metrics, testing, training, transforms, uncertainty
from ivadomed.loader import film
from ivadomed.loader import loader as imed_loader
from ivadomed.loader import utils as imed_loader_utils
from ivadomed.loader.adaptative import HDF5Dataset
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.slice_filter import SliceFilter
from ivadomed.runtime.device import define_device
from ivadomed.scripts.create_phantom import create_phantom
from ivadomed.transforms import ImedTransform

SPLIT = {
    "fname_split": None,
    "random_seed": 6,
    "split_method": "participant_id",
    "data_testing": {"data_type": None, "data_value": []},
    "balance": None,
    "train_fraction": 0.5,
    "test_fraction": 0.25,
}
TRANSFORMS_2D = {
    "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 1},
    "CenterCrop": {"size": [24, 24]},
    "RandomAffine": {"degrees": 5, "applied_to": ["im", "gt"], "dataset_type": ["training"]},
    "NormalizeInstance": {"applied_to": ["im"]},
}
TRANSFORMS_3D = {
    "Resample": {"hspace": 2, "wspace": 2, "dspace": 3},
    "CenterCrop": {"size": [32, 32, 16]},
    "NumpyToTensor": {},
    "NormalizeInstance": {"applied_to": ["im"]},
}
TRAINING = {
    "batch_size": 4,
    "loss": {"name": "DiceLoss"},
    "training_time": {"num_epochs": 2, "early_stopping_patience": 50, "early_stopping_epsilon": 0.001},
    "scheduler": {
        "initial_lr": 0.01,
        "lr_scheduler": {"name": "CosineAnnealingLR", "base_lr": 1e-5, "max_lr": 1e-2},
    },
    "balance_samples": {"applied": False, "type": "gt"},
    "mixup_alpha": None,
    "transfer_learning": {"retrain_model": None, "retrain_fraction": 1.0, "reset": True},
}
SMALL = {"depth": 2, "n_filters": 4, "dropout_rate": 0.3}


@pytest.fixture
def job(study, tmp_path):
    """Return a function that makes the three data sets of a job with the documented calls."""

    class Job:
        out = tmp_path / "run"

        def __init__(self, contrasts, model_params, transformation, multichannel=False, data=study):
            self.loader_params = {
                "path_data": [str(data)],
                "target_suffix": ["_seg-manual"],
                "extensions": [".nii.gz"],
                "roi_params": {"suffix": None, "slice_filter_roi": None},
                "contrast_params": {"training_validation": contrasts, "testing": contrasts, "balance": {}},
                "slice_filter_params": {"filter_empty_mask": False, "filter_empty_input": True},
                "patch_filter_params": {"filter_empty_mask": False, "filter_empty_input": False},
                "slice_axis": "axial",
                "multichannel": multichannel,
                "soft_gt": False,
                "model_params": model_params,
                "metadata_type": model_params.get("metadata"),
            }
            self.loader_params["contrast_params"]["contrast_lst"] = contrasts
            self.out.mkdir()
            self.bids_df = BidsDataframe(self.loader_params, str(self.out), derivatives=True)
            self.sides = imed_loader_utils.get_subdatasets_subject_files_list(
                SPLIT, self.bids_df.df, str(self.out)
            )
            self.transforms = transforms.get_subdatasets_transforms(transformation)

        def load(self, side):
            place = ("training", "validation", "testing").index(side)
            return imed_loader.load_dataset(
                self.bids_df,
                **{
                    **self.loader_params,
                    "data_list": self.sides[place],
                    "transforms_params": self.transforms[place],
                    "dataset_type": side,
                    "requires_undo": side == "testing",
                },
            )

    return Job


def metric_fns():
    return [metrics.dice_score, metrics.hausdorff_score]


def check_training(best, out):
    assert isinstance(best, tuple)
    assert len(best) == 4
    assert np.isfinite(best).all()
    for name in ("best_model.pt", "final_model.pt", "checkpoint.pth.tar"):
        assert (out / name).is_file()


def check_predictions(job, tested, names):
    assert set(tested) == {"dice_score", "hausdorff_score"}
    assert 0 <= tested["dice_score"] <= 1
    for name in names:
        prediction = nib.load(job.out / "pred_masks" / f"{name}_pred.nii.gz")
        image = nib.load(job.bids_df.images[f"{name}.nii.gz"].path)
        assert prediction.shape == image.shape
        np.testing.assert_allclose(prediction.affine, image.affine, atol=1e-4)


def names_of(dataset):
    return [case.id for case in dataset.cases]


def test_2d_by_position_and_the_uncertainty(job):
    model_params = {"name": "Unet", "is_2d": True, "in_channel": 1, "out_channel": 1, **SMALL}
    run = job(["T1w", "T2w"], model_params, TRANSFORMS_2D)
    train, valid, test = (run.load(side) for side in ("training", "validation", "testing"))
    cuda_available, device = define_device(0)
    best = training.train(
        model_params,
        train,
        valid,
        TRAINING,
        str(run.out),
        device,
        None,
        cuda_available,
        metric_fns(),
        1,
        False,
        True,
    )
    check_training(best, run.out)
    assert list((run.out / "gifs").glob("*.gif"))
    testing_params = {
        **TRAINING,
        "uncertainty": {"epistemic": True, "aleatoric": False, "n_it": 2},
        "target_suffix": run.loader_params["target_suffix"],
    }
    tested = testing.test(
        model_params,
        test,
        testing_params,
        str(run.out),
        device,
        cuda_available,
        metric_fns(),
        {"binarize_prediction": {"thr": 0.5}},
    )
    check_predictions(run, tested, names_of(test))
    table = evaluation.evaluate(
        run.bids_df,
        str(run.out),
        run.loader_params["target_suffix"],
        {"target_size": {"thr": [10], "unit": "vox"}},
    )
    assert isinstance(table, pd.DataFrame)
    assert sorted(table.get("image_id", table.index)) == names_of(test)
    uncertainty.run_uncertainty(str(run.out / "pred_masks"))
    for name in names_of(test):
        assert (run.out / "pred_masks" / f"{name}_unc-vox.nii.gz").is_file()
    threshold = testing.threshold_analysis(
        str(run.out / "best_model.pt"),
        [train, valid],
        model_params,
        TRAINING,
        "dice",
        0.25,
        str(run.out / "t.png"),
        False,
    )
    assert threshold in (0.25, 0.5, 0.75)


def test_a_training_gives_the_same_numbers_again_and_resumes(job, tmp_path):
    model_params = {"name": "Unet", **SMALL}
    run = job(["T2w"], model_params, TRANSFORMS_2D)
    train, valid = run.load("training"), run.load("validation")

    def go(folder, epochs, **options):
        params = {**TRAINING, "training_time": {**TRAINING["training_time"], "num_epochs": epochs}}
        torch.rand(3)  # what was drawn before does not matter
        result = training.train(
            model_params=model_params,
            dataset_train=train,
            dataset_val=valid,
            training_params=params,
            path_output=tmp_path / folder,
            device="cpu",
            cuda_available=False,
            metric_fns=metric_fns(),
            **options,
        )
        return result, torch.load(tmp_path / folder / "final_model.pt", weights_only=True)["state_dict"]

    first, weights = go("a", 2)
    second, again = go("b", 2)
    assert first == second
    assert all(torch.equal(weights[key], again[key]) for key in weights)
    third, _ = go("a", 3, resume_training=True)
    whole, _ = go("c", 3)
    assert np.isfinite(third).all()
    assert np.isfinite(whole).all()


def test_3d(job):
    patches = {"length_3D": [32, 32, 16], "stride_3D": [32, 32, 16]}
    model_params = {"name": "Modified3DUNet", "is_2d": False, "out_channel": 1, "n_filters": 2, **patches}
    run = job(["T1w"], model_params, {k: v for k, v in TRANSFORMS_3D.items() if k != "NumpyToTensor"})
    train, valid, test = (run.load(side) for side in ("training", "validation", "testing"))
    params = {**TRAINING, "training_time": {**TRAINING["training_time"], "num_epochs": 1}}
    params["batch_size"] = 2
    best = training.train(
        model_params, train, valid, params, run.out, torch.device("cpu"), metric_fns=metric_fns()
    )
    check_training(best, run.out)
    tested = testing.test(model_params, test, params, run.out, torch.device("cpu"), metric_fns=metric_fns())
    check_predictions(run, tested, names_of(test))


@pytest.mark.parametrize("metadata", ["contrasts", "mri_params"])
def test_film(job, metadata):
    model_params = {"name": "FiLMedUnet", "is_2d": True, "metadata": metadata, **SMALL}
    model_params |= {"film_layers": [1, 0, 0, 0, 0, 1], "in_channel": 1, "out_channel": 1}
    run = job(["T1w", "T2w"], model_params, TRANSFORMS_2D)
    train, valid, test = (run.load(side) for side in ("training", "validation", "testing"))
    train, encoder, clusters = film.get_film_metadata_models(train, model_params["metadata"], debugging=True)
    valid = film.normalize_metadata(valid, clusters, False, model_params["metadata"])
    test = film.normalize_metadata(test, clusters, False, model_params["metadata"])
    model_params |= {
        "film_onehotencoder": encoder,
        "n_metadata": len([label for labels in encoder.categories_ for label in labels]),
    }
    best = training.train(
        model_params, train, valid, TRAINING, run.out, torch.device("cpu"), metric_fns=metric_fns()
    )
    check_training(best, run.out)
    tested = testing.test(model_params, test, TRAINING, run.out, torch.device("cpu"), True, metric_fns())
    check_predictions(run, tested, names_of(test))


def test_hemis_on_an_hdf5_file(job, tmp_path):
    contrasts = ["T1w", "T2w", "T2star"]
    data = create_phantom(tmp_path / "registered", n=4, seed=2, size="tiny", coregistered=True)
    run = job(contrasts, {"name": "HeMISUnet"}, TRANSFORMS_2D, multichannel=True, data=data)
    model_params = {
        "name": "HeMISUnet",
        "path_hdf5": str(run.out / "data.hdf5"),
        "csv_path": str(run.out / "data.csv"),
        "target_lst": ["T2w"],
        "roi_lst": ["T2w"],
        "ram": True,
        "missing_probability": 0.3,
        "missing_probability_growth": 0.9,
        "contrasts": contrasts,
        "out_channel": 1,
        **SMALL,
    }
    sides = []
    for place, side in enumerate(("training", "validation", "testing")):
        params = {**model_params, "path_hdf5": str(run.out / f"{side}.hdf5"), "csv_path": None}
        sides.append(
            HDF5Dataset(
                run.bids_df,
                run.sides[place],
                params,
                run.loader_params["target_suffix"],
                {"contrast_lst": contrasts, "balance": {}},
                slice_axis=2,
                transform=transforms.prepare_transforms(run.transforms[place])[0],
                metadata_choice=False,
                dim=2,
                slice_filter_fn=SliceFilter(filter_empty_input=True, filter_empty_mask=False),
                roi_suffix=None,
            )
        )
    train, valid, test = sides
    best = training.train(
        model_params, train, valid, TRAINING, run.out, torch.device("cpu"), metric_fns=metric_fns()
    )
    check_training(best, run.out)
    tested = testing.test(model_params, test, TRAINING, run.out, torch.device("cpu"), True, metric_fns())
    check_predictions(run, tested, names_of(test))


class ShiftAndBack(ImedTransform):
    """A transform of a user."""

    def __call__(self, sample, metadata=None):
        return [np.roll(x, 2, 0) for x in sample], metadata

    def undo_transform(self, sample, metadata=None):
        return [np.roll(x, -2, 0) for x in sample], metadata


def test_a_transform_of_ones_own(job):
    model_params = {"name": "Unet", **SMALL}
    run = job(["T2w"], model_params, TRANSFORMS_2D)
    plain = run.load("validation")
    run.transforms[1]["mine"] = run.transforms[2]["mine"] = ShiftAndBack()
    moved = run.load("validation")
    np.testing.assert_array_equal(np.roll(plain[3]["gt"][0], 2, 0), moved[3]["gt"][0])
    training.train(model_params, run.load("training"), moved, TRAINING, run.out, "cpu")
    test = run.load("testing")
    tested = testing.test(model_params, test, TRAINING, run.out, "cpu", metric_fns=metric_fns())
    check_predictions(run, tested, names_of(test))


def test_losses_by_their_documented_function():
    loss = training.get_loss_function({"name": "FocalTverskyLoss", "alpha": 0.3, "beta": 0.7, "gamma": 1})
    assert isinstance(loss, losses.FocalTverskyLoss)
