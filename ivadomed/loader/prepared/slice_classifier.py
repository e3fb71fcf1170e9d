"""A saved classifier that says which slices of a case are worth keeping."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivadomed.errors import ConfigError, ModelError
from ivadomed.models import load_model
from ivadomed.transforms import Pipeline

KEY = "loader_parameters.slice_filter_params.classifier_path"
CPU = torch.device("cpu")
_BATCH = 16


@dataclass(frozen=True, eq=False)
class SliceClassifier:
    """Rejects slices of prepared cases; the model is loaded when the first case needs it.

    It is shown a slice as the network is at test time: after the fixed steps and the transforms per sample.

    Args:
        path: ``.pt`` file of the classifier, see `accepts`.
        steps: Transforms per sample at test time.
        device: Where it runs.

    Raises:
        ConfigError: There is no such file.
    """

    path: Path
    steps: Pipeline = field(default_factory=Pipeline)
    device: torch.device = CPU

    def __post_init__(self) -> None:
        if not self.path.is_file():
            raise ConfigError(
                f"{KEY}: {self.path} is no file; expected the .pt file of a trained classifier, or set "
                "filter_classification to false"
            )

    @property
    def identity(self) -> list[Any]:
        """What its verdict on a prepared slice depends on, for the key of a cache."""
        status = os.stat(self.path)
        steps = [[sorted(stage.applied_to), repr(stage.transform)] for stage in self.steps.stages]
        return [str(self.path.resolve()), status.st_size, status.st_mtime_ns, steps]

    def __call__(self, stack: np.ndarray, zooms: tuple[float, ...]) -> list[bool]:
        """Whether each slice stays: every channel must be accepted.

        Args:
            stack: [N, C, h, w] slices after the fixed steps.
            zooms: mm along h and w.
        """
        verdicts: list[bool] = []
        for start in range(0, len(stack), _BATCH):
            shown = np.stack([self._shown(image, zooms) for image in stack[start : start + _BATCH]])
            accepted = accepts(self._model, shown.reshape(-1, *shown.shape[2:])).reshape(shown.shape[:2])
            verdicts += [bool(row.all()) for row in accepted]
        return verdicts

    def _shown(self, image: np.ndarray, zooms: tuple[float, ...]) -> np.ndarray:
        plan = self.steps.plan(image.shape[1:], zooms, np.random.default_rng(0))
        return plan.apply(image, "im", 1)

    @cached_property
    def _model(self) -> torch.nn.Module:
        try:
            return load_model(self.path, self.device)
        except ModelError as error:
            raise ModelError(f"{KEY}: {error}") from error


@torch.inference_mode()
def accepts(classifier: torch.nn.Module, images: np.ndarray) -> np.ndarray:
    """Whether a classifier takes images for what it was trained to find.

    Args:
        classifier: Given one channel [B, 1, h, w], it returns the probabilities of the classes but the
            background, [B, K - 1]. What is more likely background than not is rejected.
        images: [B, h, w].

    Returns:
        [B] bool

    Raises:
        ModelError: The model is no such classifier.
    """
    device = next((parameter.device for parameter in classifier.parameters()), CPU)
    batch = torch.as_tensor(np.asarray(images, np.float32), device=device)[:, None]
    try:
        probabilities = classifier(batch)
    except RuntimeError as error:
        raise ModelError(f"{KEY}: the model does not take slices of one channel ({error})") from error
    if probabilities.ndim != 2:
        raise ModelError(
            f"{KEY}: {type(classifier).__name__} gives {list(probabilities.shape)} for a batch of slices; expected "
            "the probabilities of the classes, as a classifier of ivadomed gives them"
        )
    return (probabilities.sum(dim=1) >= 0.5).cpu().numpy()
