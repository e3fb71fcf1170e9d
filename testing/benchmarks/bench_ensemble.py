"""An ensemble of five networks against one: CPU time of an image with an opened ``Predictor``, and peak memory.

The networks take five times as long, so that the ratio of the times is 1 + 4 * (their share of the time of one model).
It is CPU time, which other processes of the machine change little. Each memory figure is that of a process of its own.
``IVADOMED_TEST_DATA`` names the folder with ``msd_hippocampus``; without it that part is left out.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import torch

from ivadomed.config import CONFIG_DIR, load_config
from ivadomed.images.files import write_json
from ivadomed.inference import Predictor
from ivadomed.inference.backends import OnnxForward, TorchForward
from ivadomed.inference.ensemble import join_models
from ivadomed.models import build_model
from ivadomed.models.checkpoint import save_model
from ivadomed.models.onnx import write_onnx

N_MEMBERS = 5
PATCHES = {
    "loader_parameters": {
        "target_suffix": ["_seg"],
        "contrast_params": {"training_validation": ["T1w"]},
    },
    "default_model": {
        "name": "Unet",
        "is_2d": False,
        "depth": 2,
        "n_filters": 4,
        "length_3D": [64, 64, 32],
        "stride_3D": [64, 64, 32],
    },
    "transformation": {
        "Resample": {"hspace": 1, "wspace": 1, "dspace": 1},
        "NormalizeInstance": {"applied_to": ["im"]},
    },
    "postprocessing": {"binarize_prediction": {"thr": 0.5}},
    "blend": "gaussian",
}


def package(folder: Path, content: Mapping[str, Any], seed: int, suffix: str) -> Path:
    """A packaged model with random weights, a .pt or an .onnx file."""
    config = load_config({**content, "model_name": folder.name})
    torch.manual_seed(seed)
    model = build_model(config.architecture.name, config.architecture.arguments).eval()
    folder.mkdir(parents=True)
    if suffix == ".pt":
        save_model(
            folder / f"{folder.name}.pt", model, config.architecture.name, config.architecture.arguments
        )
    else:
        write_onnx(folder, model, config.in_channel, config.is_2d)
    write_json(folder / f"{folder.name}.json", {**config.to_json(), "blend": config.blend or "gaussian"})
    return folder


def compare(folder: Path, content: Mapping[str, Any], image: Path, suffix: str) -> None:
    """Print the ratios of one kind of file."""
    members = [package(folder / f"m{seed}", content, seed, suffix) for seed in range(N_MEMBERS)]
    joined = join_models(members, folder / "joined")
    (one, in_network), (five, in_networks) = (seconds(model, image) for model in (members[0], joined))
    single, several = (peak(model, image) for model in (members[0], joined))
    print(
        f"{folder.name} {suffix}: one {one:.3f} s ({in_network / one:.0%} in the network), {N_MEMBERS} {five:.3f} s "
        f"({in_networks / five:.0%}): {five / one:.2f} times; memory {single:.3f} and {several:.3f} GB: "
        f"{several / single:.2f} times",
        flush=True,
    )


def seconds(model: Path, image: Path, repeats: int = 2) -> tuple[float, float]:
    """CPU seconds for an image, and those that the networks take of them: the fastest of several."""
    predict, spent = Predictor(model, "cpu"), 0.0
    kinds = (TorchForward, OnnxForward)
    plain = [kind.__call__ for kind in kinds]

    def timed(call: Any) -> Any:
        def timed_call(self: Any, batch: Any) -> Any:
            nonlocal spent
            started = time.process_time()
            result = call(self, batch)
            spent += time.process_time() - started
            return result

        return timed_call

    runs = []
    for kind, call in zip(kinds, plain, strict=True):
        kind.__call__ = timed(call)  # type: ignore[method-assign]
    for _ in range(repeats):
        spent, started = 0.0, time.process_time()
        predict(image)
        runs.append((time.process_time() - started, spent))
    for kind, call in zip(kinds, plain, strict=True):
        kind.__call__ = call  # type: ignore[method-assign]
    return min(runs)


def peak(model: Path, image: Path) -> float:
    """Peak memory of a process that segments an image, in GB."""
    command = [sys.executable, __file__, str(model), str(image)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Print the figures."""
    if len(sys.argv) == 3:
        Predictor(sys.argv[1], "cpu")(sys.argv[2])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        image = folder / "volume.nii.gz"
        voxels = np.random.default_rng(0).integers(0, 900, (192, 192, 64)).astype(np.int16)
        nib.save(nib.Nifti1Image(voxels, np.eye(4)), image)
        work = {"192x192x64, patches of 64x64x32": (PATCHES, image)}
        if data := os.environ.get("IVADOMED_TEST_DATA"):
            content = json.loads((CONFIG_DIR / "config_hippocampus.json").read_text())
            scan = next(Path(data, "msd_hippocampus").glob("sub-*/**/*_T1w.nii.gz"))
            work["hippocampus"] = (content, scan)
        for name, (content, picture) in work.items():
            for suffix in (".pt", ".onnx"):
                (folder / suffix).mkdir(exist_ok=True)
                compare(folder / suffix / name, content, picture, suffix)


if __name__ == "__main__":
    main()
