"""The commands on the device, with tiny data: train, test, segment, resume, and what changes them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch

import nibabel as nib
import numpy as np
import torch
from failures import noise, package
from rows import Row, goal, holds, skipped, within
from setting import BOTH_CONTRASTS, Setting, full_float32, loader

from ivadomed.inference import backends, segment_volume
from ivadomed.inference.ensemble import join_models
from ivadomed.main import run_main

_EPOCHS = 8
_SAME = 1e-3
"""Largest difference of soft predictions, in 0..1."""
_LOSS = 0.02
"""Largest difference of losses of trainings on two devices, whose roundings grow with every step."""
_SOFT_IN_HALF = 0.015
"""Largest difference of soft values in half precision, of which those up to 0.01 are set to 0."""
_DICE_IN_HALF = 0.001


def check(setting: Setting) -> Iterator[Row]:
    """Rows of all commands."""
    with full_float32():
        first = _segmentation(setting, "plain", _EPOCHS)
        model = Path(first["path_output"]) / "plain"
        yield from _predictions(setting, first, model)
        yield from _resumed(setting)
        yield from _against_the_cpu(setting)
        yield from _backends(setting, model)
        yield from _uncertainty(setting)
        yield from _ensemble(setting, model)
        yield from _cascade(setting, model)
        yield from _film(setting)
        yield from _hemis(setting)
        yield from _overlapping(setting)
    yield from _half_precision(setting, model)


def _segmentation(setting: Setting, name: str, epochs: int = 1, **sections: Any) -> dict[str, Any]:
    """A configuration, of which the training is done."""
    config = setting.configuration(name, **sections)
    config["training_parameters"]["training_time"]["num_epochs"] = epochs
    run_main(config)
    return config


def _predictions(setting: Setting, config: dict[str, Any], model: Path) -> Iterator[Row]:
    table, _ = run_main({**config, "command": "test"})
    dice = float(table["dice_class0"].min())
    yield within("runs", "--train, --test: 1 - Dice of the worst image of the test set", 1 - dice, 0.9)
    files = run_main({**config, "command": "segment"})
    yield holds("runs", "--segment: images of the study", len(files) == 6, str(len(files)), "6")
    image = _image(setting, "T2w")
    [written] = [path for path in map(Path, _flat(files)) if path.name.startswith("sub-001")]
    difference = np.abs(nib.load(written).get_fdata() - _soft(model, image, None)).max()
    yield within("runs", "file of --segment against segment_volume on the CPU", float(difference), _SAME)
    yield from _same(setting, "segment_volume", model, image)


def _resumed(setting: Setting) -> Iterator[Row]:
    """A training in two parts has the numbers of one that was not interrupted."""
    whole = _segmentation(setting, "whole", 2)
    config = _segmentation(setting, "parts", 1)
    config["training_parameters"]["training_time"]["num_epochs"] = 2
    run_main(config, resume_training=True)
    ends = [_final_weights(Path(c["path_output"])) for c in (whole, config)]
    difference = float((ends[0] - ends[1]).norm() / ends[0].norm())
    yield within(
        "runs",
        "--resume-training: weights against those of one run",
        difference,
        0 if setting.is_cpu else _SAME,
    )


def _against_the_cpu(setting: Setting) -> Iterator[Row]:
    what = "--train: validation loss against the CPU"
    if setting.is_cpu:
        yield skipped("runs", what, "the CPU is what the others are compared with")
        return
    found, expected = (
        run_main(setting.configuration("devices", gpu_ids=ids)).validation_loss
        for ids in (setting.gpu_ids, [])
    )
    yield within("runs", what, abs(found - expected), _LOSS)


def _backends(setting: Setting, model: Path) -> Iterator[Row]:
    what = "segment_volume: NAME.onnx on the CPU against NAME.pt on the device"
    if find_spec("onnxruntime") is None:
        yield skipped("runs", what, "onnxruntime is not installed")
        return
    image = _image(setting, "T2w")
    gpu = None if setting.is_cpu else 0
    found = _soft(_only(setting, model, ".onnx"), image, None)
    expected = _soft(_only(setting, model, ".pt"), image, gpu)
    yield within("runs", what, float(np.abs(found - expected).max()), _SAME)


def _uncertainty(setting: Setting) -> Iterator[Row]:
    network = {"name": "Unet", "depth": 1, "n_filters": 4, "dropout_rate": 0.3}
    config = _segmentation(setting, "dropout", default_model=network)
    run_main({**config, "command": "test", "uncertainty": {"epistemic": True, "aleatoric": False, "n_it": 2}})
    maps = sorted((Path(config["path_output"]) / "pred_masks").glob("*_unc-vox.nii.gz"))
    largest = float(nib.load(maps[0]).get_fdata().max()) if maps else float("nan")
    found = f"{len(maps)} maps up to {largest:.2g}"
    yield holds(
        "runs",
        "uncertainty by dropout",
        bool(maps) and 0 < largest < np.inf,
        found,
        "maps above 0 and finite",
    )


def _ensemble(setting: Setting, model: Path) -> Iterator[Row]:
    config = _segmentation(setting, "second", 2)
    models = [_only(setting, model, ".pt"), _only(setting, Path(config["path_output"]) / "second", ".pt")]
    joined = join_models(models, setting.new_folder("ensemble") / "both")
    image, gpu = _image(setting, "T2w"), None if setting.is_cpu else 0
    expected = np.mean([_soft(member, image, gpu, threshold=0) for member in models], axis=0)
    found = _soft(joined, image, gpu, threshold=0)
    yield within(
        "runs", "ensemble against the mean of its members", float(np.abs(found - expected).max()), 0.02
    )
    yield from _same(setting, "ensemble", joined, image)


def _cascade(setting: Setting, model: Path) -> Iterator[Row]:
    config = setting.configuration(
        "cascade",
        object_detection_params={"object_detection_path": str(model)},
        transformation={
            "CenterCrop": {"size": [32, 32]},
            "NormalizeInstance": {"applied_to": ["im"]},
        },
    )
    run_main(config)
    table, _ = run_main({**config, "command": "test"})
    dice = float(table["dice_class0"].min())
    boxes = (Path(config["path_output"]) / "bounding_boxes.json").is_file()
    yield holds("runs", "cascade: boxes", boxes, "written" if boxes else "none", "written")
    yield holds("runs", "cascade: Dice of the test set", 0 <= dice <= 1, f"{dice:.2f}", "0 to 1")


def _film(setting: Setting) -> Iterator[Row]:
    config = _segmentation(
        setting,
        "film",
        default_model={"name": "Unet", "depth": 1, "n_filters": 4, "dropout_rate": 0.0},
        FiLMedUnet={"applied": True, "metadata": "contrasts", "film_layers": [0, 1, 0, 1]},
        loader_parameters=loader(setting.study, contrast_params=BOTH_CONTRASTS),
    )
    model, image = Path(config["path_output"]) / "film", _image(setting, "T1w")
    one, other = (_soft(model, image, None, metadata=contrast) for contrast in ("T1w", "T2w"))
    difference = float(np.abs(one - other).max())
    yield holds(
        "runs", "FiLM: the contrast changes the prediction", difference > 0, f"by {difference:.2g}", "above 0"
    )
    yield from _same(setting, "FiLM", model, image, metadata="T1w")


def _hemis(setting: Setting) -> Iterator[Row]:
    config = _segmentation(
        setting,
        "hemis",
        default_model={"name": "Unet", "depth": 1, "n_filters": 4, "dropout_rate": 0.0},
        HeMISUnet={"applied": True, "missing_probability": 0.3, "missing_probability_growth": 0.9},
        loader_parameters=loader(setting.study, contrast_params=BOTH_CONTRASTS, multichannel=True),
    )
    model = Path(config["path_output"]) / "hemis"
    images = [_image(setting, contrast) for contrast in ("T1w", "T2w")]
    both, alone = (_soft(model, given, None) for given in (images, [images[0], None]))
    difference = float(np.abs(both - alone).max())
    yield holds(
        "runs",
        "HeMIS: a missing contrast changes the prediction",
        difference > 0,
        f"by {difference:.2g}",
        "above 0",
    )
    yield from _same(setting, "HeMIS", model, [images[0], None])


def _half_precision(setting: Setting, model: Path) -> Iterator[Row]:
    """What half precision, in which GPUs predict by default, changes; the models of this part are set to float32."""
    image, gpu = _image(setting, "T2w"), None if setting.is_cpu else 0
    network = _only(setting, model, ".pt")
    plain = _soft(network, image, gpu)
    with patch.object(backends, "predicts_in_half", return_value=True):
        half = _soft(network, image, gpu)
    difference = float(np.abs(plain - half).max())
    yield within("runs", "prediction in fp16 against that in float32", difference, _SOFT_IN_HALF)
    one, other = plain > 0.5, half > 0.5
    dice = 2 * (one & other).sum() / max(one.sum() + other.sum(), 1)
    # A goal: one voxel of a small mask is as much.
    yield goal("runs", "prediction in fp16: 1 - Dice with that in float32", float(1 - dice), _DICE_IN_HALF)


def _overlapping(setting: Setting) -> Iterator[Row]:
    """Overlapping patches are read, normalized and averaged on the device."""
    network = {"applied": True, "length_3D": [32] * 3, "stride_3D": [16] * 3, "n_filters": 2}
    precision = {"batch_size": 3, "precision": "32"}
    model = package(setting, "overlapping", {}, 3, Modified3DUNet=network, training_parameters=precision)
    yield from _same(
        setting, "overlapping patches", model, noise(setting.folder / "noise3d.nii", (56, 48, 40))
    )


def _same(setting: Setting, what: str, model: Path, images: Any, **options: Any) -> Iterator[Row]:
    what = f"{what}: gpu_id=0 against gpu_id=None"
    if setting.is_cpu:
        yield skipped("runs", what, "there is no GPU")
        return
    found, expected = (_soft(model, images, gpu, **options) for gpu in (0, None))
    yield within("runs", what, float(np.abs(found - expected).max()), _SAME)


def _soft(
    model: Path, images: Any, gpu: int | None, metadata: str | None = None, threshold: float | None = None
) -> np.ndarray:
    options = {} if metadata is None else {"metadata": metadata}
    options |= {} if threshold is None else {"binarize_prediction": threshold}
    [[image, *_], _] = segment_volume(model, images, gpu, options)
    return image.get_fdata()


def _only(setting: Setting, model: Path, extension: str) -> Path:
    """A copy of a packaged model with one of its files of weights."""
    folder = setting.new_folder("only")
    folder.mkdir()
    copy = folder / model.name
    shutil.copytree(model, copy, ignore=shutil.ignore_patterns("*.pt" if extension == ".onnx" else "*.onnx"))
    return copy


def _image(setting: Setting, contrast: str) -> Path:
    return setting.study / "sub-001" / "anat" / f"sub-001_{contrast}.nii.gz"


def _flat(files: Sequence[Any]) -> list[Any]:
    """Files of all images, which may be lists of their classes."""
    return [one for entry in files for one in (entry if isinstance(entry, list | tuple) else [entry])]


def _final_weights(folder: Path) -> torch.Tensor:
    state = torch.load(folder / "final_model.pt", weights_only=True)["state_dict"]
    return torch.cat(
        [value.double().cpu().flatten() for value in state.values() if value.is_floating_point()]
    )
