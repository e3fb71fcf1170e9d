"""Segmentation with a packaged model: time over pure forward passes, and peak memory on large images.

Each memory figure is that of a process of its own, from start to end.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np
import torch

from ivadomed.config import load_config
from ivadomed.images.io import write_picture
from ivadomed.inference import engine as engines
from ivadomed.inference import segment_volume
from ivadomed.models import build_model
from ivadomed.models.checkpoint import save_model

SLICES = {"name": "Unet", "depth": 3, "n_filters": 16, "dropout_rate": 0.0}
PATCHES = {
    "applied": True,
    "length_3D": [48, 48, 48],
    "stride_3D": [24, 24, 24],
    "n_filters": 8,
}


def package(folder: Path, **sections: object) -> Path:
    """A packaged model with random weights, .pt only."""
    config = load_config(
        {
            "gpu_ids": [],
            "training_parameters": {"batch_size": 8},
            "transformation": {"NormalizeInstance": {"applied_to": ["im"]}},
            "postprocessing": {"binarize_prediction": {"thr": 0.5}},
            **sections,
        }
    )
    torch.manual_seed(0)
    model = build_model(config.architecture.name, config.architecture.arguments)
    folder.mkdir(parents=True)
    save_model(folder / f"{folder.name}.pt", model, config.architecture.name, config.architecture.arguments)
    (folder / f"{folder.name}.json").write_text(json.dumps(config.to_json()))
    return folder


def loader(n_classes: int = 1, **extra: object) -> dict[str, object]:
    """``loader_parameters`` of a model with so many classes."""
    return {
        "target_suffix": [f"_class{k}" for k in range(n_classes)],
        "contrast_params": {"training_validation": ["T1w"]},
        **extra,
    }


def scan(path: Path, shape: tuple[int, ...]) -> Path:
    """A volume of noise."""
    data = np.random.default_rng(0).random(shape, dtype=np.float32)
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return path


def ratio(model: Path, image: Path) -> float:
    """Seconds of ``segment_volume`` over the seconds its forward passes took, the better of three."""
    spent = 0.0
    plain = engines.Engine._predict

    def timed(self, batch):
        nonlocal spent
        started = time.perf_counter()
        answer = plain(self, batch)
        spent += time.perf_counter() - started
        return answer

    engines.Engine._predict = timed
    best = np.inf
    for _ in range(3):
        spent, started = 0.0, time.perf_counter()
        segment_volume(model, image)
        best = min(best, (time.perf_counter() - started) / spent)
    engines.Engine._predict = plain
    return best


def peak(model: Path, image: Path) -> float:
    """Peak memory of a process that segments one image, in GB."""
    command = [sys.executable, __file__, str(model), str(image)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the figures."""
    if len(sys.argv) == 3:
        segment_volume(sys.argv[1], sys.argv[2], options={"pixel_size": [1.0, 1.0]})
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        two = package(folder / "slices", loader_parameters=loader(), default_model=SLICES)
        print(f"2D, 160 slices of 192x192: {ratio(two, scan(folder / 'a.nii', (192, 192, 160))):.3f}")
        three = package(
            folder / "patches",
            loader_parameters=loader(),
            Modified3DUNet=PATCHES,
            transformation={"NormalizeInstance": {"applied_to": ["im"]}},
        )
        print(f"3D, half overlapping patches: {ratio(three, scan(folder / 'b.nii', (96, 96, 96))):.3f}")
        five = package(
            folder / "five",
            loader_parameters=loader(5),
            default_model={**SLICES, "n_filters": 8, "depth": 2},
        )
        large = scan(folder / "large.nii", (512, 512, 300))
        print(f"512x512x300, 5 classes: {peak(five, large):.2f} GB")
        large.unlink()
        pixels = np.random.default_rng(0).integers(0, 256, (6000, 8000), np.uint8)
        write_picture(folder / "micrograph.png", pixels)
        micro = package(
            folder / "micro",
            loader_parameters=loader(2, extensions=[".png"]),
            default_model={
                **SLICES,
                "n_filters": 4,
                "depth": 2,
                "length_2D": [512, 512],
                "stride_2D": [480, 480],
            },
        )
        print(f"8000x6000 micrograph, 2 classes: {peak(micro, folder / 'micrograph.png'):.2f} GB")


if __name__ == "__main__":
    main()
