"""Packaged models of any version and any edit of their JSON predict."""

import json
import logging
import os
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivadomed.images.io import write_picture
from ivadomed.inference import segment_volume
from ivadomed.models import Countception, HeMISUnet, Modified3DUNet, Unet, save_model
from ivadomed.models.onnx import export_onnx

UNKNOWN = st.sampled_from([None, 0, "x", -1.5, True, [], {}, ["a", 1], {"a": {"b": None}}])
NAMES = st.sampled_from(["training_sha256", "subject_selection:", "comment", "loss_fn", "ünit", "", "name "])


def values(images):
    return np.stack([np.asanyarray(image.dataobj) for image in images])


def sections(content, path=()):
    """Paths of the objects in a JSON, without those of which the keys are the names of steps."""
    found = [path]
    for key, value in content.items():
        if isinstance(value, dict) and key != "transformation":
            found += sections(value, (*path, key))
    return found


def at(content, path):
    for key in path:
        content = content[key]
    return content


@pytest.mark.parametrize("kind", ["pt", "onnx", "module"])
def test_unknown_keys_at_any_place_change_nothing(package, image, kind):
    folder = package(
        kinds=(kind,),
        loader={"slice_filter_params": {"filter_empty_input": True}, "roi_params": {"suffix": None}},
        training_parameters={"batch_size": 2, "loss": {"name": "DiceLoss"}},
        postprocessing={"binarize_prediction": {"thr": 0.5}, "keep_largest": {}},
        wandb={"project_name": "p"},
    )
    path, picture = folder / f"{folder.name}.json", image(shape=(16, 2, 16))
    whole = json.loads(path.read_text())
    expected, names = segment_volume(folder, [picture], gpu_id=None)

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def check(data):
        content = json.loads(json.dumps(whole))
        for place in data.draw(st.lists(st.sampled_from(sections(whole)), min_size=1, max_size=6)):
            if not {"postprocessing"} & set(place[:1]) or len(place) > 1:
                at(content, place)[data.draw(NAMES)] = data.draw(UNKNOWN)
        path.write_text(json.dumps(content))
        images, same_names = segment_volume(folder, [picture], gpu_id=None)
        assert same_names == names
        np.testing.assert_array_equal(values(images), values(expected))

    check()


@pytest.mark.parametrize("kind", ["pt", "onnx"])
def test_any_section_may_be_missing_or_null(package, image, kind, caplog):
    folder = package(kinds=(kind,), contrasts=("T1w", "T2w"), classes=("_a", "_b"), postprocessing={})
    path, pictures = (
        folder / f"{folder.name}.json",
        [image(shape=(16, 2, 16)), image("t2.nii.gz", (16, 2, 16))],
    )
    whole = json.loads(path.read_text())
    places = [place for place in sections(whole) if place] + [("loader_parameters", "target_suffix")]

    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        st.lists(st.sampled_from([*places, ("transformation",), ("model_name",)]), max_size=4), st.booleans()
    )
    def check(removed, as_null):
        content = json.loads(json.dumps(whole))
        for place in removed:
            try:
                parent = at(content, place[:-1])
            except (KeyError, TypeError):
                continue
            if isinstance(parent, dict):
                parent.pop(place[-1], None)
                if as_null:
                    parent[place[-1]] = None
        path.write_text(json.dumps(content))
        images, names = segment_volume(folder, pictures, gpu_id=None)
        assert len(images) == len(names) == 2
        assert names in (["_a", "_b"], ["class_0", "class_1"])
        assert all(picture.shape == (16, 2, 16) for picture in images)

    check()
    assert caplog.records == []


def test_toolboxes_get_soft_output_of_models_without_a_threshold(package, image):
    folder = package(testing_parameters={"binarize_prediction": True})
    picture = image()
    soft = values(segment_volume(folder, [picture], gpu_id=None)[0])
    assert len(np.unique(soft)) > 2
    for threshold in (None, 0, 0.0, -1, False):
        again, _ = segment_volume(folder, [picture], None, {"binarize_prediction": threshold})
        np.testing.assert_array_equal(values(again), soft)
    [binary], _ = segment_volume(folder, [picture], None, {"binarize_prediction": 0.5})
    assert binary.get_data_dtype() == np.uint8


def test_a_hemis_network_of_an_edited_file_takes_its_contrasts(package, image):
    folder = package(contrasts=("T1w", "T2w"))
    arguments = {"contrasts": ["T1w", "T2w"], "depth": 1, "n_filters": 2}
    save_model(folder / "seg.pt", HeMISUnet(**arguments), "HeMISUnet", arguments)
    content = json.loads((folder / "seg.json").read_text())
    content["loader_parameters"]["multichannel"] = False
    content["HeMISUnet"] = {"applied": True, "ram": True}
    (folder / "seg.json").write_text(json.dumps(content))
    images, _ = segment_volume(folder, [image(), None], gpu_id=None)
    assert len(images) == 1


PUBLISHED_3D = {"UNet3D", "Modified3DUNet"}


def network_for(content):
    """A small network that a published configuration fits: class, name, arguments, 2D or not."""
    n_classes = len(content["loader_parameters"]["target_suffix"])
    arguments = {"in_channel": 1, "out_channel": n_classes + 1 if n_classes > 1 else 1}
    if content["default_model"]["name"] == "Countception":
        return Countception, "Countception", arguments, True
    if any(content.get(name, {}).get("applied") for name in PUBLISHED_3D):
        return Modified3DUNet, "Modified3DUNet", arguments | {"n_filters": 1}, False
    return Unet, "Unet", arguments | {"depth": 2, "n_filters": 2}, True


def published():
    """Published configurations beside the real data."""
    folder = Path(os.environ.get("IVADOMED_TEST_DATA", "/none")).parent / "contract" / "published_models"
    return sorted(folder.glob("*.json"))


@pytest.mark.real_data
@pytest.mark.parametrize("path", published(), ids=lambda path: path.stem)
def test_published_models_predict_without_a_warning(path, tmp_path, image, caplog):
    content = json.loads(path.read_text())
    for section in (content.get("UNet3D", {}), content.get("Modified3DUNet", {})):
        if section.get("applied"):  # smaller patches, for the sake of time
            section["length_3D"] = section["stride_3D"] = [32, 32, 32]
            content["transformation"].get("CenterCrop", {})["size"] = [32, 32, 32]
    make, name, arguments, is_2d = network_for(content)
    torch.manual_seed(0)
    model = make(**arguments).eval()
    options = {"keep_largest": None, "fill_holes": None, "remove_small": None, "binarize_prediction": None}
    slices = {"axial": (20, 24, 2), "sagittal": (2, 20, 24)}[content["loader_parameters"]["slice_axis"]]
    shape = slices if is_2d else (20, 24, 18)
    picture = image(shape=shape)
    if content["loader_parameters"].get("extensions") == [".png"]:  # as AxonDeepSeg calls it
        picture = tmp_path / "sub-01_SEM.png"
        shape = (40, 50)
        write_picture(picture, np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8))
        options = {
            "pixel_size": [0.1, 0.1],
            "pixel_size_units": "um",
            "binarize_maxpooling": True,
            "no_patch": True,
        }
    if content.get("object_detection_params", {}).get("object_detection_path"):
        options["fname_prior"] = str(picture)
    shapes = []
    for kind in ("pt", "module", "onnx"):
        if name == "Countception" and kind != "pt":
            continue  # its kernels take a minute
        folder = tmp_path / kind / path.stem
        folder.mkdir(parents=True)
        (folder / path.name).write_text(json.dumps(content))
        if kind == "pt":
            save_model(folder / f"{path.stem}.pt", model, name, arguments)
        elif kind == "module":
            torch.save(model, folder / f"{path.stem}.pt")
        else:
            export_onnx(model, folder / f"{path.stem}.onnx", 1, is_2d)
        with warnings.catch_warnings(), caplog.at_level(logging.WARNING):
            warnings.simplefilter("error")
            images, names = segment_volume(str(folder), [str(picture)], gpu_id=None, options=options)
        assert names == content["loader_parameters"]["target_suffix"]
        shapes += [one.shape[: len(shape)] for one in images]
        if path.stem.startswith("mice"):
            assert images[0].get_data_dtype() == np.float32
    assert set(shapes) == {shape}
    assert caplog.records == []
