"""Prediction: the engine, its backends, and ``segment_volume`` for toolboxes."""

from ivadomed.inference.backends import onnx_inference
from ivadomed.inference.engine import Engine
from ivadomed.inference.outputs import pred_to_nib, pred_to_png, split_classes
from ivadomed.inference.prediction import Prediction
from ivadomed.inference.predictor import Predictor, segment_volume
from ivadomed.runtime.moved import moved_names

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

KEPT = {
    "ivadomed.compat.inference": "get_onehotencoder get_preds image_reconstruction process_transformations "
    "reconstruct_3d_object set_option set_postprocessing_options volume_reconstruction"
}
"""The steps of ``segment_volume`` under the names of 2.x."""

__getattr__ = moved_names(__name__, {}, KEPT)
