"""Steps that clean up a prediction: threshold, fill holes, remove small objects, keep the largest object, ...

Importing this package requires only numpy and connected-components-3d; other libraries are imported when used.
"""

from ivadomed.postprocessing.masks import (
    binarize_with_low_threshold,
    coordinate_from_heatmap,
    fill_holes,
    keep_largest_object,
    keep_largest_object_per_slice,
    label_file_from_coordinates,
    mask_predictions,
    multilabel_capable,
    nifti_capable,
    remove_small_objects,
    threshold_predictions,
)
from ivadomed.postprocessing.pipeline import STEPS, Postprocessing, step

__all__ = [
    "STEPS",
    "Postprocessing",
    "binarize_with_low_threshold",
    "coordinate_from_heatmap",
    "fill_holes",
    "keep_largest_object",
    "keep_largest_object_per_slice",
    "label_file_from_coordinates",
    "mask_predictions",
    "multilabel_capable",
    "nifti_capable",
    "remove_small_objects",
    "step",
    "threshold_predictions",
]
