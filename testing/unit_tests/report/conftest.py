"""A report with names that would break a page that does not escape them."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest

from ivadomed.evaluation import PredictionPair, summarize
from ivadomed.evaluation.dataset import worst_first
from ivadomed.evaluation.pictures import CasePicture
from ivadomed.report import Curve, Report
from ivadomed.visualize import stack_slices

NASTY = 'sub-<script>alert("1")</script>&\'_T2w'


@pytest.fixture
def slices() -> str:
    """Axial slices of 20 x 30 x 10 voxels: one class predicted a voxel too far, another one missed at two places."""
    image = np.zeros((20, 30, 10))
    image[:, :, 5:] = 100
    masks, truth = np.zeros((2, 2, 20, 30, 10))
    truth[0, 5:10, 10:15, 2:7] = 1
    masks[0, 5:10, 11:16, 2:7] = 1
    truth[1, 15, 20, (1, 8)] = 1
    stack = stack_slices(image, masks, truth, (1, 1, 2), 2, 1e6)
    assert stack is not None
    return stack.json


@pytest.fixture
def report(tmp_path, slices) -> Report:
    images = ["sub-1_T1w", NASTY, "sub-3_T1w", "sub-4_T2w"]
    table = pd.DataFrame(
        {
            "dice_class0": [0.9, 0.5, 0.7, np.nan],
            "hd95_class0": [10.0, 2.5, np.nan, 9.5],
            "dice_class1": [0.9, 0.95, 0.8, 0.8],
            "mse_class1": [0.0, 1, 2, 3],
            "n_21-100vox": [1.0, np.nan, 2, 3],
        },
        index=pd.Index(images, name="image_id"),
    )
    pairs = [PredictionPair(i, (), (), subject=i[:5], contrast=i.split("_")[-1]) for i in images]
    pictures = {}
    for k, image in enumerate(images[:3]):
        file = tmp_path / "results_eval" / "overlays" / f"{k}#é.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(file, np.full((30, 60, 3), 80 * k, np.uint8))
        pictures[image] = CasePicture(file, slices if k == 0 else "")
    return Report(
        title="a <model> & more",
        folder=Path(tmp_path),
        table=table,
        summary=summarize(table, pairs),
        pairs=pairs,
        order=worst_first(table),
        class_names=["_seg", "_<lesion>"],
        pictures=pictures,
        config={"key": "</pre><script>", "$title": "${style}"},
        versions={"ivadomed": "3 <b>"},
        curves=[
            Curve("losses", "train_loss", ((1, 1.0), (2, 0.5))),
            Curve("losses", "val_loss", ((1, 1.0), (2, float("nan")))),
            Curve("Validation/Metrics", "dice_<i>", ((1, 0.5),)),
        ],
    )
