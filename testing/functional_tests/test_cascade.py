"""A cascade through the command line: detect, crop, train, test, segment, on a tiny phantom."""

import copy
import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from ivadomed.detection.cascade import read_boxes
from ivadomed.geometry.grid import Grid
from ivadomed.inference import segment_volume
from ivadomed.inference.detection import Detector
from ivadomed.main import main, run_main
from ivadomed.models import build_model, save_model

AXIAL = 2


@pytest.fixture(scope="module")
def base(study, tmp_path_factory):
    """A configuration of one contrast, whose network learns the cord of the phantom in seconds."""
    from testing.conftest import config as make  # the same configuration, but one folder for the module

    config = make.__wrapped__(study, tmp_path_factory.mktemp("cascade"))
    config["loader_parameters"]["contrast_params"] = {"training_validation": ["T2w"], "testing": ["T2w"]}
    config["split_dataset"] = {"random_seed": 6, "train_fraction": 0.6, "test_fraction": 0.2}
    config["default_model"] |= {"n_filters": 8, "dropout_rate": 0.0}
    config["training_parameters"]["batch_size"] = 4
    config["transformation"].pop("RandomAffine")
    return config


@pytest.fixture(scope="module")
def detection_model(base):
    """The packaged model of the first step: finds the cord."""
    config = copy.deepcopy(base)
    config |= {"model_name": "find_sc", "path_output": str(Path(base["path_output"]).parent / "detection")}
    config["training_parameters"]["training_time"]["num_epochs"] = 10
    run_main(config)
    return Path(config["path_output"]) / "find_sc"


@pytest.fixture(scope="module")
def second(base, detection_model):
    """The configuration of the second step."""
    config = copy.deepcopy(base)
    config["object_detection_params"] = {"object_detection_path": str(detection_model)}
    config["postprocessing"] = {}
    config["transformation"] = {
        "CenterCrop": {"size": [32, 32]},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    return config


@pytest.fixture
def detections(monkeypatch):
    """Images that detection models have looked at, one list per loaded model."""
    looked_at, run = [], Detector.run

    def spy(self, cases, *more, **options):
        looked_at.append([case.images[0].name for case in cases])
        return run(self, cases, *more, **options)

    monkeypatch.setattr(Detector, "run", spy)
    return looked_at


def names_of(study):
    return sorted(path.name for path in study.glob("sub-*/anat/*_T2w.nii.gz"))


def boxes_by_name(out):
    return {Path(image).name: box for image, [box] in read_boxes(out / "bounding_boxes.json").items()}


def hwd(path):
    image = nib.load(path)
    return Grid(image.shape[:3], image.affine, AXIAL).to_hwd(image.get_fdata(dtype=np.float32))


def outside(box, shape):
    mask = np.ones(shape, bool)
    mask[tuple(slice(max(a, 0), b + 1) for a, b in zip(box[::2], box[1::2], strict=True))] = False
    return mask


def write(config, folder):
    path = folder / "cascade.json"
    path.write_text(json.dumps(config))
    return str(path)


def test_train_test_and_segment_in_the_boxes(second, study, detection_model, detections, tmp_path):
    out = tmp_path / "out"
    path = write({**second, "path_output": str(out)}, tmp_path)
    for command in ("--train", "--test", "--segment"):
        assert main([command, "-c", path]) == 0
    split = json.loads((out / "split_datasets.json").read_text())
    trained, tested = (
        {n for side in sides for n in split[side] if "T2w" in n} for sides in (("train", "valid"), ("test",))
    )
    # Each image is looked at once: at training, testing, and those on no side when the data set is segmented.
    assert [set(names) for names in detections[:2]] == [trained, tested]
    assert sorted(name for names in detections for name in names) == names_of(study)
    boxes = boxes_by_name(out)
    assert sorted(boxes) == names_of(study)
    for name, box in boxes.items():
        stem = name.removesuffix(".nii.gz")
        cord = hwd(study / "derivatives/labels" / stem.split("_")[0] / "anat" / f"{stem}_seg-manual.nii.gz")
        # The detection has learnt something: most of the cord is in a box that is much smaller than the image.
        assert cord[~outside(box, cord.shape)].sum() > 0.8 * cord.sum()
        assert outside(box, cord.shape).mean() > 0.5
        image = nib.load(study / stem.split("_")[0] / "anat" / name)
        prediction = nib.load(out / "pred_masks" / f"{stem}_class-0_pred.nii.gz")
        assert prediction.shape == image.shape
        np.testing.assert_allclose(prediction.affine, image.affine, atol=1e-6)
        values = hwd(out / "pred_masks" / f"{stem}_class-0_pred.nii.gz")
        assert not values[outside(box, values.shape)].any()
        assert values.any()
    table = pd.read_csv(out / "results_eval" / "evaluation_3Dmetrics.csv")
    assert len(table) == len(tested)
    assert "WARNING" not in (out / "log").read_text(encoding="utf-8")


def test_boxes_of_a_file_are_used_and_nothing_is_detected(second, study, detections, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    boxes = {
        str(path): [4, 35, 5, 36, 2, 7]  # 32 x 32 x 6 voxels
        for path in study.glob("sub-*/anat/*_T2w.nii.gz")
    }
    (out / "bounding_boxes.json").write_text(json.dumps(boxes))
    config = {**second, "path_output": str(out)}
    run_main(config)
    run_main({**config, "command": "test"})
    assert detections == []
    for path in (out / "pred_masks").glob("*_pred.nii.gz"):
        values = hwd(path)
        assert not values[outside([4, 35, 5, 36, 2, 7], values.shape)].any()
        assert values[4:36, 5:37, 2:8].any(axis=(0, 1)).all()


def test_the_safety_factor_enlarges_the_boxes(second, tmp_path):
    sizes = []
    for factor in (1, 2):
        params = {**second["object_detection_params"], "safety_factor": [factor, factor, 1]}
        out = tmp_path / str(factor)
        run_main({**second, "path_output": str(out), "object_detection_params": params})
        sizes.append({name: np.diff(box)[::2] for name, box in boxes_by_name(out).items()})
    for name, size in sizes[0].items():
        np.testing.assert_allclose(sizes[1][name], size * [2, 2, 1], atol=1)


def test_a_packaged_cascade_segments_a_new_data_set(second, study, detection_model, tmp_path):
    out = tmp_path / "out"
    run_main({**second, "path_output": str(out)})
    # On another output folder, with a configuration that does not know of the cascade.
    new = tmp_path / "new"
    (new / "seg_sc").parent.mkdir()
    (out / "seg_sc").rename(new / "seg_sc")
    plain = {**second, "path_output": str(new), "command": "segment", "object_detection_params": {}}
    files = run_main(plain)
    assert len(files) == 6
    assert sorted(boxes_by_name(new)) == names_of(study)
    image = next(study.glob("sub-001/anat/*_T2w.nii.gz"))
    [alone], _ = segment_volume(new / "seg_sc", image, gpu_id=None)
    written = nib.load(new / "pred_masks" / image.name.replace(".nii.gz", "_class-0_pred.nii.gz"))
    np.testing.assert_allclose(alone.get_fdata(), written.get_fdata(), atol=1e-5)


def test_three_dimensional_patches_cover_the_boxes(second, study, tmp_path):
    config = copy.deepcopy(second) | {"path_output": str(tmp_path / "out")}
    config["Modified3DUNet"] = {
        "applied": True,
        "length_3D": [32, 32, 16],
        "stride_3D": [16, 16, 16],
        "n_filters": 2,
    }
    config["transformation"] = {
        "Resample": {"hspace": 0.8, "wspace": 0.8, "dspace": 3},
        "NormalizeInstance": {"applied_to": ["im"]},
    }
    run_main(config)
    run_main({**config, "command": "test"})
    boxes = boxes_by_name(tmp_path / "out")
    [path] = (tmp_path / "out" / "pred_masks").glob("*_pred.nii.gz")
    values, box = hwd(path), boxes[path.name.replace("_pred", "")]
    # 16 slices are more than the image has: padded. In plane the box grows to a patch or two and no further.
    grown = [max(box[0] - 25, 0), box[1] + 25, max(box[2] - 25, 0), box[3] + 25, 0, 100]
    assert not values[outside(grown, values.shape)].any()
    inside = tuple(slice(max(a, 0), b + 1) for a, b in zip(box[::2], box[1::2], strict=True))
    assert values[inside].any()


def test_slices_that_differ_in_size_are_refused_before_the_training(second, tmp_path, capsys):
    config = {**second, "path_output": str(tmp_path / "out")}
    config["transformation"] = {"NormalizeInstance": {"applied_to": ["im"]}}
    assert main(["--train", "-c", write(config, tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "a batch needs one size; add CenterCrop" in error
    assert "add CenterCrop" in error


def test_a_missing_detection_model_names_the_key(second, tmp_path, capsys):
    config = {**second, "path_output": str(tmp_path / "out")}
    config["object_detection_params"] = {"object_detection_path": str(tmp_path / "none")}
    assert main(["--train", "-c", write(config, tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "object_detection_params.object_detection_path" in error
    assert "Traceback" not in error


def test_a_classifier_leaves_slices_out(base, tmp_path, capsys):
    arguments = {"num_classes": 2}
    model = build_model("resnet18", arguments)
    for name, bias in (("yes", 9.0), ("no", -9.0)):
        model.fc.weight.data.zero_()
        model.fc.bias.data[:] = model.fc.bias.data.new_tensor([-bias, bias])
        save_model(tmp_path / f"{name}.pt", model, "resnet18", arguments)
    config = copy.deepcopy(base) | {"path_output": str(tmp_path / "out")}
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    filters = {"filter_classification": True, "classifier_path": str(tmp_path / "yes.pt")}
    config["loader_parameters"]["slice_filter_params"] = filters
    run_main(config)
    filters["classifier_path"] = str(tmp_path / "no.pt")
    table, _ = run_main({**config, "command": "test"})
    assert (table["vol_pred_class0"] == 0).all()
    assert main(["--train", "--overwrite", "-c", write(config, tmp_path)]) == 1
    assert "filters left no sample" in capsys.readouterr().err
    filters["classifier_path"] = str(tmp_path / "none.pt")
    assert main(["--train", "--overwrite", "-c", write(config, tmp_path)]) == 1
    assert "loader_parameters.slice_filter_params.classifier_path" in capsys.readouterr().err
