"""Every loss and its gradient on the device, against the CPU; on the CPU, of bf16 predictions against float32."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from rows import Row, within
from setting import CPU, Setting, distance
from torch import Tensor

from ivadomed.losses import LOSSES

_ARGUMENTS = {"LossCombination": {"losses_list": ["DiceLoss", "FocalLoss"]}}
_LIMIT = 1e-4
_LIMIT_BF16 = 0.05
"""Eight bits of a prediction, of which some losses take the logarithm."""


def check(setting: Setting) -> Iterator[Row]:
    """Rows of all losses, with and without voxels that do not count."""
    dtype = torch.bfloat16 if setting.is_cpu else torch.float32
    limit = _LIMIT_BF16 if setting.is_cpu else _LIMIT
    kind = "bf16 predictions" if setting.is_cpu else setting.device.type
    for name in LOSSES:
        for ignoring in (False, True):
            found = _value(name, setting.device, dtype, ignoring)
            expected = _value(name, CPU, torch.float32, ignoring)
            what = f"{name}{', with ignored voxels' if ignoring else ''}: {kind}, value and gradient"
            errors = [distance(one, other) for one, other in zip(found, expected, strict=True)]
            # max() would pass over what is not a number.
            yield within("losses", what, float(torch.tensor(errors).max()), limit)


def _value(name: str, device: torch.device, dtype: torch.dtype, ignoring: bool) -> tuple[Tensor, Tensor]:
    """Value and gradient of a loss of two classes in two small volumes."""
    drawn = torch.Generator().manual_seed(0)
    shape = (2, 2, 8, 8, 8)
    # Away from 0 and 1, where logarithms would magnify the rounding to bf16.
    prediction = 0.1 + 0.8 * torch.rand(shape, generator=drawn)
    target = (torch.rand(shape, generator=drawn) > 0.7).float().to(device)
    mask = (torch.rand((2, 1, *shape[2:]), generator=drawn) > 0.2).to(device) if ignoring else None
    prediction = prediction.to(device, dtype).requires_grad_()
    value = LOSSES.build(name, _ARGUMENTS.get(name, {}))(prediction, target, mask)
    value.backward()
    assert prediction.grad is not None
    return value, prediction.grad
