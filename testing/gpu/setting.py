"""Where the check runs, and what its parts share: the data, a configuration, clocks."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ivadomed.scripts.create_phantom import create_phantom

CPU = torch.device("cpu")
BOTH_CONTRASTS = {"training_validation": ["T1w", "T2w"], "testing": ["T1w", "T2w"], "balance": {}}


@dataclass
class Setting:
    """The device under test.

    Args:
        device: That is compared with the CPU in float32.
        quick: Small networks, images and numbers of rounds.
        folder: For data and results; it is deleted afterwards.
    """

    device: torch.device
    quick: bool
    folder: Path

    @property
    def is_cpu(self) -> bool:
        """The device is the reference itself: other layouts and number formats are compared instead."""
        return self.device.type == "cpu"

    @property
    def is_cuda(self) -> bool:
        """The device is one of CUDA's."""
        return self.device.type == "cuda"

    @property
    def gpu_ids(self) -> list[int]:
        """``gpu_ids`` of a configuration that runs on the device."""
        return [] if self.is_cpu else [self.device.index or 0]

    @cached_property
    def study(self) -> Path:
        """Six tiny subjects with two contrasts on one grid."""
        options = {"contrasts": ("T1w", "T2w"), "coregistered": True}
        return create_phantom(self.folder / "study", n=6, seed=1, size="tiny", **options)

    def new_folder(self, name: str) -> Path:
        """Path of a folder that is not there yet."""
        taken = len(list(self.folder.glob(f"{name}-*")))
        return self.folder / f"{name}-{taken}"

    def configuration(self, name: str, **sections: Any) -> dict[str, Any]:
        """A configuration that trains a small U-Net on the study within seconds; sections replace its own."""
        path = self.new_folder(name)
        path.mkdir()
        return {
            "command": "train",
            "gpu_ids": self.gpu_ids,
            "path_output": str(path / "run"),
            "model_name": name,
            "loader_parameters": loader(self.study),
            "split_dataset": {"random_seed": 6, "train_fraction": 0.5, "test_fraction": 0.25},
            "training_parameters": training(),
            "default_model": {"name": "Unet", "depth": 2, "n_filters": 4, "dropout_rate": 0.0},
            "postprocessing": {},
            "transformation": {
                "Resample": {"hspace": 1.5, "wspace": 1.5, "dspace": 3},
                "CenterCrop": {"size": [32, 32]},
                "NormalizeInstance": {"applied_to": ["im"]},
            },
            **sections,
        }

    def synchronize(self) -> None:
        """Wait for the device."""
        if self.is_cuda:
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()

    def seconds(self, call: Callable[[], Any]) -> float:
        """Time of a call, until the device has finished."""
        self.synchronize()
        started = time.perf_counter()
        call()
        self.synchronize()
        return time.perf_counter() - started


def loader(study: Path, **changes: Any) -> dict[str, Any]:
    """``loader_parameters`` of the study."""
    contrasts = {"training_validation": ["T2w"], "testing": ["T2w"], "balance": {}}
    return {
        "path_data": [str(study)],
        "target_suffix": ["_seg-manual"],
        "contrast_params": contrasts,
        **changes,
    }


def training(epochs: int = 1, **changes: Any) -> dict[str, Any]:
    """``training_parameters`` of a short training in float32, under a schedule that does not depend on its length."""
    return {
        "batch_size": 8,
        "num_workers": 0,
        "precision": "32",
        "training_time": {"num_epochs": epochs},
        "scheduler": {
            "initial_lr": 0.01,
            "lr_scheduler": {"name": "CosineAnnealingWarmRestarts", "T_0": 10},
        },
        **changes,
    }


def write(config: dict[str, Any]) -> Path:
    """The configuration as a file beside its output folder."""
    path = Path(config["path_output"]).with_name("config.json")
    path.write_text(json.dumps(config))
    return path


def distance(found: Tensor, expected: Tensor) -> float:
    """Norm of the difference over the norm of what was expected; not a number where the values found are not."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((found - expected).norm() / expected.norm().clamp(min=1e-12))


@contextmanager
def full_float32() -> Iterator[None]:
    """Context in which products of float32 numbers are not rounded to TF32."""
    convolutions, products = torch.backends.cudnn, torch.backends.cuda.matmul
    before = convolutions.allow_tf32, products.allow_tf32
    convolutions.allow_tf32 = products.allow_tf32 = False
    try:
        yield
    finally:
        convolutions.allow_tf32, products.allow_tf32 = before
