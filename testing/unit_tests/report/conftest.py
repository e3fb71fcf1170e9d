"""A report with names that would break a page that does not escape them."""

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest

from ivadomed.evaluation import PredictionPair, summarize
from ivadomed.evaluation.dataset import worst_first
from ivadomed.report import Curve, Report

NASTY = 'sub-<script>alert("1")</script>&\'_T2w'


@pytest.fixture
def report(tmp_path) -> Report:
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
    overlays = {}
    for k, image in enumerate(images[:3]):
        overlays[image] = tmp_path / "results_eval" / "overlays" / f"{k}#é.png"
        overlays[image].parent.mkdir(parents=True, exist_ok=True)
        iio.imwrite(overlays[image], np.full((30, 60, 3), 80 * k, np.uint8))
    return Report(
        title="a <model> & more",
        folder=Path(tmp_path),
        table=table,
        summary=summarize(table, pairs),
        pairs=pairs,
        order=worst_first(table),
        class_names=["_seg", "_<lesion>"],
        overlays=overlays,
        config={"key": "</pre><script>", "$title": "${style}"},
        versions={"ivadomed": "3 <b>"},
        curves=[
            Curve("losses", "train_loss", ((1, 1.0), (2, 0.5))),
            Curve("losses", "val_loss", ((1, 1.0), (2, float("nan")))),
            Curve("Validation/Metrics", "dice_<i>", ((1, 0.5),)),
        ],
    )
