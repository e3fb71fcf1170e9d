"""Small cases, packaged models and images that the tests of several modules use."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch

from ivadomed.loader.case import Case
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


@pytest.fixture
def make_case(tmp_path):
    """Return a function that writes images and labels and gives their case."""

    def make(
        name: str = "sub-01_T1w",
        shape=(12, 14, 5),
        zooms=(1.0, 1.0, 2.0),
        channels=1,
        classes=1,
        seed=0,
        roi=False,
    ) -> Case:
        rng = np.random.default_rng(seed)
        affine = np.diag([*zooms, 1.0])

        def write(stem: str, data: np.ndarray) -> Path:
            path = tmp_path / f"{stem}.nii.gz"
            nib.save(nib.Nifti1Image(data, affine), path)
            return path

        def ball(radius: float) -> np.ndarray:
            grid = np.stack(np.meshgrid(*(np.arange(n) - n // 2 for n in shape), indexing="ij"))
            return ((grid**2).sum(0) <= radius**2).astype(np.uint8)

        return Case(
            id=name,
            images=tuple(write(f"{name}_{c}", rng.random(shape).astype(np.float32)) for c in range(channels)),
            targets=tuple((write(f"{name}_seg{k}", ball(3.0 - k)),) for k in range(classes)),
            subject=name.split("_")[0],
            contrasts=("T1w",) * channels,
            roi=write(f"{name}_roi", ball(2.0)) if roi else None,
        )

    return make
