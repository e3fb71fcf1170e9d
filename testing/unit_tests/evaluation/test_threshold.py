"""The best threshold, on predictions that are known."""

from pathlib import Path

import numpy as np
import pytest
import torch

from ivadomed.errors import ConfigError
from ivadomed.evaluation import threshold
from ivadomed.geometry.windows import Window
from ivadomed.loader.cases.case import Case
from ivadomed.loader.samples import Sample, SampleDataset


class Known(SampleDataset):
    """Samples whose image is the prediction that the network will give."""

    cases = (Case("sub-01", ()),)

    def __init__(self, predictions: np.ndarray, truths: np.ndarray, ignore: np.ndarray | None = None) -> None:
        self.predictions, self.truths = predictions.astype(np.float32), truths.astype(np.uint8)
        self.ignore = ignore

    def __len__(self) -> int:
        return len(self.predictions)

    def __getitem__(self, index):
        place = index[1]
        window = Window(0, (0, 0, place), (1, 1, 1))
        ignore = None if self.ignore is None else self.ignore[place].astype(np.uint8)
        return Sample(self.predictions[place], self.truths[place], None, window, ignore=ignore)


@pytest.fixture(autouse=True)
def network_that_returns_its_image(monkeypatch):
    monkeypatch.setattr(threshold, "open_model", lambda path, device, precision: lambda batch: batch.image)


def analyse(predictions, truths, tmp_path, ignore=None, **options):
    return threshold.best_threshold(
        Path("best_model.pt"),
        [Known(predictions, truths, ignore)],
        3,
        torch.device("cpu"),
        picture=tmp_path / "thr.png",
        **options,
    )


def test_dice_by_hand(tmp_path):
    truth = np.zeros((4, 1, 4, 4))
    truth[:, :, :2] = 1
    prediction = np.where(truth, 0.65, 0.35)
    prediction[truth[:, :, :, :] == 1] -= np.tile(
        [0.0, 0.0, 0.0, 0.1], 8
    )  # a quarter of the structure at 0.55
    # Below 0.35 everything is found, above 0.55 a part is lost: 0.4 and 0.5 are perfect, the later one is taken.
    assert analyse(prediction, truth, tmp_path) == 0.5
    assert (tmp_path / "thr.png").read_bytes().startswith(b"\x89PNG")
    assert analyse(prediction, truth, tmp_path, increment=0.25) == 0.5
    assert analyse(prediction, truth, tmp_path, increment=0.6) == 0.6


def test_two_empty_masks_count_as_one(tmp_path):
    truth = np.zeros((2, 1, 2, 2))
    truth[0] = 1
    prediction = np.full((2, 1, 2, 2), 0.2)
    prediction[0] = 0.8
    # At 0.1 the empty sample is all false (Dice 0), from 0.3 on both are right.
    assert 0.3 <= analyse(prediction, truth, tmp_path) <= 0.8


def test_classifiers_use_youdens_index(tmp_path):
    prediction = np.array([[0.9], [0.7], [0.6], [0.3], [0.2]])
    truth = np.array([[1], [1], [0], [0], [0]])
    found = analyse(prediction, truth, tmp_path, metric="recall_specificity", increment=0.05)
    assert 0.6 < found <= 0.7


@pytest.mark.parametrize(
    ("options", "message"),
    [({"metric": "dcie"}, "'dcie'; expected one of dice"), ({"increment": 1.5}, "--thr-increment: 1.5")],
)
def test_wrong_arguments_are_named(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        analyse(np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2)), tmp_path, **options)


@pytest.mark.parametrize("metric", threshold.METRICS)
def test_ignored_voxels_do_not_count(tmp_path, metric):
    predictions = np.array([0.9, 0.6, 0.3, 0.2, 0.8, 0.1]).reshape(1, 1, 2, 3)
    truths = np.array([1, 1, 0, 0, 0, 1]).reshape(1, 1, 2, 3)
    ignore = np.array([0, 0, 0, 0, 1, 1]).reshape(1, 1, 2, 3)
    # Of the others all are right between 0.3 and 0.6.
    assert analyse(predictions, truths, tmp_path, ignore, metric=metric) == pytest.approx(0.5, abs=0.1)
    counts = [
        threshold._counts(lambda b: b.image, [Known(p, t, ignore)], 1, np.array([0.05, 0.5]), "")
        for p, t in ((predictions, truths), (np.where(ignore, 1, predictions), np.where(ignore, 0, truths)))
    ]
    for first, second in zip(*counts, strict=True):
        np.testing.assert_array_equal(first, second)
    predicted, both, true, size = counts[0]
    assert (predicted.tolist(), both.tolist(), true.tolist(), size.tolist()) == ([[4, 2]], [[2, 2]], [2], [4])
