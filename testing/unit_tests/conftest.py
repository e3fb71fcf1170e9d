"""Small packaged models and images, for tests of inference and of the tools around it."""

import json

import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.models import Unet, save_model
from ivadomed.models.onnx import export_onnx

AFFINE = np.array([[-1.0, 0, 0, 30], [0, 0, 1.0, -3], [0, 1.0, 0, 7], [0, 0, 0, 1]])


@pytest.fixture
def package(tmp_path):
    """Return a function that writes a packaged U-Net with random weights."""

    def make(
        name="seg",
        kinds=("pt",),
        contrasts=("T1w",),
        classes=("_seg-manual",),
        transforms=None,
        loader=None,
        **sections,
    ):
        folder = tmp_path / name
        folder.mkdir()
        out_channel = len(classes) + 1 if len(classes) > 1 else 1
        arguments = {"in_channel": len(contrasts), "out_channel": out_channel, "depth": 1, "n_filters": 2}
        torch.manual_seed(0)
        model = Unet(**arguments).eval()
        if "pt" in kinds:
            save_model(folder / f"{name}.pt", model, "Unet", arguments)
        if "module" in kinds:
            torch.save(model, folder / f"{name}.pt")
        if "onnx" in kinds:
            export_onnx(model, folder / f"{name}.onnx", len(contrasts), is_2d=True)
        config = {
            "command": "segment",
            "model_name": name,
            "loader_parameters": {
                "target_suffix": list(classes),
                "contrast_params": {"training_validation": list(contrasts)},
                "multichannel": len(contrasts) > 1,
                **(loader or {}),
            },
            "default_model": {"name": "Unet", "depth": 1, "n_filters": 2},
            "transformation": transforms or {"NormalizeInstance": {"applied_to": ["im"]}},
            **sections,
        }
        (folder / f"{name}.json").write_text(json.dumps(config))
        return folder

    return make


@pytest.fixture
def image(tmp_path):
    def make(name="sub-01_T1w.nii.gz", shape=(20, 5, 18), seed=0):
        data = np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)
        picture = nib.Nifti1Image(data, AFFINE)
        picture.set_qform(AFFINE, code=1)
        picture.set_sform(AFFINE, code=2)
        nib.save(picture, tmp_path / name)
        return tmp_path / name

    return make
