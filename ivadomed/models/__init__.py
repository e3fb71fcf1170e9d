"""Network architectures and model files. Requires torch only.

Names are resolved on first use, so `ivadomed.models.specs` and `ivadomed.models.sizing` do not load torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ivadomed.models.base import ModelBatch, Network
    from ivadomed.models.blocks import (
        DownConv,
        GridAttentionBlockND,
        UnetGridGatingSignal3,
        UpConv,
        weights_init_kaiming,
    )
    from ivadomed.models.checkpoint import (
        ModelNotFoundError,
        frozen_parameters,
        get_model_filenames,
        load_model,
        save_model,
        set_model_for_retrain,
    )
    from ivadomed.models.classifiers import DenseNet, ResNet, densenet121, resnet18
    from ivadomed.models.countception import ConvBlock, Countception, SimpleBlock
    from ivadomed.models.film import FiLMgenerator, FiLMlayer
    from ivadomed.models.hemis import HeMISUnet
    from ivadomed.models.registry import MODELS, build_model
    from ivadomed.models.residual_unet import ResidualEncoderUnet
    from ivadomed.models.unet import Decoder, Encoder, FiLMedUnet, Unet
    from ivadomed.models.unet3d import Modified3DUNet, UNet3D

__all__ = [
    "MODELS",
    "ConvBlock",
    "Countception",
    "Decoder",
    "DenseNet",
    "DownConv",
    "Encoder",
    "FiLMedUnet",
    "FiLMgenerator",
    "FiLMlayer",
    "GridAttentionBlockND",
    "HeMISUnet",
    "ModelBatch",
    "ModelNotFoundError",
    "Modified3DUNet",
    "Network",
    "ResNet",
    "ResidualEncoderUnet",
    "SimpleBlock",
    "UNet3D",
    "Unet",
    "UnetGridGatingSignal3",
    "UpConv",
    "build_model",
    "densenet121",
    "frozen_parameters",
    "get_model_filenames",
    "load_model",
    "resnet18",
    "save_model",
    "set_model_for_retrain",
    "weights_init_kaiming",
]

_MODULES = (
    *("base", "blocks", "checkpoint", "classifiers", "countception", "film", "hemis", "registry"),
    *("residual_unet", "unet", "unet3d"),
)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    modules = (import_module(f"{__name__}.{module}") for module in _MODULES)
    return next(getattr(module, name) for module in modules if hasattr(module, name))
