"""Every transform that a batch can have on the device (``augment_on: "device"``), against the steps of workers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from rows import Row, holds, skipped, within
from setting import Setting, distance
from transfers import Waits

from ivadomed.transforms import TRANSFORMS, Pipeline, Plan
from ivadomed.transforms.batch_plan import BatchPlan, split_plan

ARGUMENTS: dict[str, dict[str, Any]] = {
    "NormalizeInstance": {},
    "ClipAndStandardize": {"lower": 0.1, "upper": 0.8, "mean": 0.5, "std": 0.2},
    "HistogramClipping": {"min_percentile": 7, "max_percentile": 88.8},
    "RandomAffine": {
        "degrees": 25,
        "scale": [0.1, 0.2, 0.1],
        "translate": [0.1, 0.1, 0.1],
        "scale_range": [0.8, 1.2],
    },
    "ElasticTransform": {"alpha_range": [8, 12], "sigma_range": [2, 3], "p": 0.6},
    "RandomReverse": {},
    "RandomMirror": {"p": 0.5},
    "RandomShiftIntensity": {"shift_range": [-1, 1], "prob": 0.6},
    "AdditiveGaussianNoise": {"mean": 0.3, "std": 0.2, "p": 0.7},
    "RandomGamma": {"log_gamma_range": [-0.8, 0.8], "p": 0.8, "p_inverted": 0.5},
    "RandomBrightness": {"factor_range": [0.7, 1.4], "p": 0.7},
    "RandomContrast": {"factor_range": [0.7, 1.4], "p": 0.7},
    "RandomLowResolution": {"factor_range": [1.5, 3], "p": 0.7},
    "RandomBiasField": {"coefficients": 0.5, "order": 3},
    "RandomBlur": {"sigma_range": [0, 2.5]},
}
_ON_SAMPLES = {"Clahe", "DilateGT", "NormalizePercentile", "NumpyToTensor"}
"""Transforms without a version for batches, and those that change the shape: workers do them."""
_SHAPES = ((1, 40, 33), (2, 24, 20, 16))
_SAMPLES = 6
_LIMIT = 1e-4
# Of a point on the very edge of the field of view rounding decides whether it is inside.
_EDGE = {"RandomAffine": 0.02, "ElasticTransform": 0.02}


def check(setting: Setting) -> Iterator[Row]:
    """Rows of all transforms."""
    left_out = {
        name for name in TRANSFORMS if name not in ARGUMENTS and not TRANSFORMS[name].fixed
    } - _ON_SAMPLES
    yield holds(
        "transforms", "every transform is tried", not left_out, ", ".join(sorted(left_out)) or "all", "all"
    )
    for name, arguments in ARGUMENTS.items():
        found = [
            _compare(setting, name, arguments, shape, kind) for shape in _SHAPES for kind in ("im", "gt")
        ]
        errors, waits = zip(*found, strict=True)
        what = f"{name}, images and labels in 2D and 3D"
        yield within(
            "transforms",
            f"{what}: largest distance",
            float(torch.tensor(errors).max()),
            _EDGE.get(name, _LIMIT),
        )
        yield within("transforms", f"{what}: most waits for the device", max(waits), 0)
    for name in sorted(_ON_SAMPLES & set(TRANSFORMS)):
        yield skipped("transforms", name, "has no version for batches; workers do it")


def _compare(
    setting: Setting, name: str, arguments: dict[str, Any], shape: tuple[int, ...], kind: str
) -> tuple[float, int]:
    """Distance of a batch from its samples one by one, and how often the host waits."""
    chain = Pipeline.from_config({name: {**arguments, "applied_to": ["im", "gt"]}})
    zooms = (1.0,) * (len(shape) - 1)
    plans = [chain.plan(shape[1:], zooms, np.random.default_rng((0, i))) for i in range(_SAMPLES)]
    images = np.random.default_rng(1).random((_SAMPLES, *shape), dtype=np.float32)
    expected = np.stack([plan.apply(x, kind, 1) for plan, x in zip(plans, images, strict=True)])
    # Where there is no GPU, a device without memory takes the same way as one.
    elsewhere = torch.device("meta") if setting.is_cpu else setting.device
    plan, batch = BatchPlan.of(_left_to_the_device(plans)), torch.from_numpy(images)
    found = plan.moved(partial(_to, device=setting.device)).apply(batch.to(setting.device), kind)
    distant, there = plan.moved(partial(_to, device=elsewhere)), batch.to(elsewhere)
    with Waits(elsewhere) as waits:
        distant.apply(there, kind)
    return distance(found, torch.from_numpy(expected)), waits.count


def _to(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    return tensor.to(device)


def _left_to_the_device(plans: Sequence[Plan]) -> list[Plan]:
    """What of each plan is left to the device, which is all of it here."""
    parts = [split_plan(plan) for plan in plans]
    assert not any(first.steps for first, _ in parts)
    return [later for _, later in parts]
