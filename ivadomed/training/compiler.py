"""``torch.compile``, where it works."""

from __future__ import annotations

import logging

import torch
from torch import nn

log = logging.getLogger(__name__)


def compile_network(model: nn.Module, device: torch.device) -> bool:
    """Let torch compile a network; names and weights stay as they are.

    A small function is compiled first. Where that fails (no C++ compiler, or hardware that torch generates no code
    for), the network stays as it is, with a warning.

    Args:
        model: The network, changed in place.
        device: That it computes on.

    Returns:
        Whether it is compiled, namely at its first call.
    """
    try:
        torch.compile(_probe)(torch.ones(8, device=device))
    except Exception as error:  # compilers, their drivers and torch have no common error
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        log.warning(
            "training_parameters.compile: torch.compile does not work here (%s); it is left out.", reason
        )
        return False
    model.compile()
    return True


def _probe(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(x) + x.square()
