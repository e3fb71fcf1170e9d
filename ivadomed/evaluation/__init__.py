"""Compare predictions with ground truth: voxel metrics, surfaces, volumes, and objects found, missed and invented."""

from ivadomed.evaluation.dataset import evaluate_predictions, preview
from ivadomed.evaluation.pairs import PredictionPair, pairs_of_cases
from ivadomed.evaluation.summary import summarize, summary_text, write_summary
from ivadomed.evaluation.volume import Evaluation3DMetrics, EvaluationResult, evaluate_pair
from ivadomed.runtime.moved import moved_names

__all__ = [
    "Evaluation3DMetrics",
    "EvaluationResult",
    "PredictionPair",
    "evaluate_pair",
    "evaluate_predictions",
    "pairs_of_cases",
    "preview",
    "summarize",
    "summary_text",
    "write_summary",
]

__getattr__ = moved_names(__name__, {}, {"ivadomed.compat.evaluation": "evaluate"})
