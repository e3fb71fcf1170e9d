"""Compare predictions with ground truth: voxel metrics, volumes, and objects found, missed and made up."""

from ivadomed.evaluation.dataset import PredictionPair, evaluate, evaluate_predictions, preview
from ivadomed.evaluation.params import EvaluationParams
from ivadomed.evaluation.volume import Evaluation3DMetrics, EvaluationResult, evaluate_pair

__all__ = [
    "Evaluation3DMetrics",
    "EvaluationParams",
    "EvaluationResult",
    "PredictionPair",
    "evaluate",
    "evaluate_pair",
    "evaluate_predictions",
    "preview",
]
