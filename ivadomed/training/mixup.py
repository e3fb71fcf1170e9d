"""Mixup: training on convex combinations of samples.

Zhang et al., "mixup: Beyond Empirical Risk Minimization", ICLR 2018, arXiv:1710.09412.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ivadomed.errors import ConfigError
from ivadomed.images.io import write_picture


def mixup(
    data: Tensor,
    targets: Tensor,
    alpha: float,
    debugging: bool = False,
    ofolder: str | os.PathLike[str] | None = None,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Mix every sample of a batch with another one of it.

    The weight of the own sample is ``max(l, 1 - l)`` with l from Beta(alpha, alpha), one for the batch.

    Args:
        data: Images ``[B, C, ...]``.
        targets: Labels ``[B, C', ...]``; the result is soft.
        alpha: Parameter of the Beta distribution, > 0; small values mix little.
        debugging: Save one mixed sample as PNG.
        ofolder: Where, in a folder ``mixup``; needed with `debugging`.
        generator: Source of randomness; None takes torch's global one. One seed decides pairs and weight.

    Returns:
        Mixed images and labels; the arguments stay as they are.

    Raises:
        ConfigError: For an `alpha` that is not positive, or `debugging` without a folder.
    """
    if not alpha > 0:
        raise ConfigError(f"mixup_alpha: {alpha!r}; expected a positive number, or null for no mixup.")
    if debugging and ofolder is None:
        raise ConfigError("mixup: debugging saves samples and needs the output folder `ofolder`.")
    order = torch.randperm(data.shape[0], generator=generator)
    seed = int(torch.randint(2**63 - 1, (), generator=generator))
    drawn = np.random.default_rng(seed).beta(alpha, alpha)
    weight = max(drawn, 1.0 - drawn)
    mixed_data, mixed_targets = (
        weight * x + (1.0 - weight) * x[order.to(x.device, non_blocking=True)]
        for x in (data, targets.to(data.dtype))
    )
    if debugging and ofolder is not None:
        save_mixup_sample(ofolder, mixed_data[0], mixed_targets[0], torch.tensor([weight]))
    return mixed_data, mixed_targets


def save_mixup_sample(
    ofolder: str | os.PathLike[str], input_data: Tensor, labeled_data: Tensor, lambda_tensor: Tensor
) -> Path:
    """Save image and label side by side as PNG in the folder ``mixup`` of `ofolder`.

    Args:
        ofolder: Output folder.
        input_data: ``[C, H, W]`` or ``[C, H, W, D]``; the first channel, of 3D the middle slice, is shown.
        labeled_data: As `input_data`.
        lambda_tensor: Weight of the mix; it names the file.

    Returns:
        Path of the new file, ``<weight>_<number>.png``; existing files are kept.
    """
    panels = []
    for x in (input_data, labeled_data):
        plane = x.detach().float().cpu()[0]
        plane = plane[..., plane.shape[-1] // 2] if plane.ndim == 3 else plane
        span = float(plane.max() - plane.min())
        panels.append(((plane - plane.min()) * (255.0 / span if span > 0 else 0.0)).byte().numpy())
    folder = Path(ofolder) / "mixup"
    weight = f"{float(lambda_tensor.reshape(-1)[0]):.3f}"
    number = len(list(folder.glob(f"{weight}_*.png")))
    path = folder / f"{weight}_{number:04d}.png"
    write_picture(path, np.hstack(panels))
    return path
