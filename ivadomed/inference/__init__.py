"""Prediction: the engine, its backends, and ``segment_volume`` for toolboxes."""

from ivadomed.inference.backends import onnx_inference
from ivadomed.inference.engine import Engine, Prediction
from ivadomed.inference.outputs import pred_to_nib, pred_to_png, split_classes
from ivadomed.inference.predictor import Predictor
from ivadomed.inference.segment import segment_volume

__all__ = [
    "Engine",
    "Prediction",
    "Predictor",
    "onnx_inference",
    "pred_to_nib",
    "pred_to_png",
    "segment_volume",
    "split_classes",
]
