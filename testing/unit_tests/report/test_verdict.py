"""The two sentences at the top of a report."""

import numpy as np
import pandas as pd

from ivadomed.evaluation import PredictionPair
from ivadomed.report import Curve
from ivadomed.report.verdict import verdict


def sentences(columns, subjects=None, class_names=("lesion",), curves=()):
    table = pd.DataFrame(columns)
    table.index = [f"sub-{k:02d}_T1w" for k in range(len(table))]
    subjects = subjects or [name[:6] for name in table.index]
    pairs = [PredictionPair(image, (), (), subject=s) for image, s in zip(table.index, subjects, strict=True)]
    return verdict(table, pairs, class_names, curves)


EVEN = np.linspace(0.8, 0.9, 20)


def test_many_subjects():
    found = sentences({"dice_class0": EVEN, "hd95_class0": np.full(20, 1.5)})
    assert found.sentences[0] == (
        "The mean Dice is 0.85 (95 % confidence interval 0.84 to 0.86, 20 images); 95 % of the surfaces agree within "
        "1.5 mm."
    )
    assert found.sentences[1] == "No image stands out; the lowest Dice is that of sub-00_T1w (0.80)."
    assert found.look_at == ("sub-00_T1w",)


def test_few_subjects_say_so():
    few = sentences({"dice_class0": EVEN[:4]}, ["sub-1", "sub-1", "sub-2", "sub-2"])
    assert "too narrow because 2 subjects are few; 4 images of 2 subjects)" in few.text
    one = sentences({"dice_class0": EVEN[:3]}, ["sub-1"] * 3)
    assert "(one subject, so no confidence interval; 3 images)" in one.text


def test_images_that_stand_out_are_named_worst_first():
    dice = EVEN.copy()
    dice[[3, 7]] = 0.4, 0.3
    found = sentences({"dice_class0": dice})
    assert found.sentences[1] == "Look first at sub-07_T1w (0.30), sub-03_T1w (0.40), far below the others."
    assert found.look_at == ("sub-07_T1w", "sub-03_T1w")


def test_a_class_that_is_missed_or_made_up_comes_first():
    first, second = EVEN.copy(), EVEN.copy()
    second[5] = 0.0
    found = sentences({"dice_class0": first, "dice_class1": second}, class_names=("cord", "lesion"))
    assert found.sentences[1].startswith(
        "Look first at sub-05_T1w (0.41), where a class is missed or invented."
    )
    assert "0.85 for cord, 0.81 for lesion" in found.sentences[0]


def test_many_failures_are_counted():
    found = sentences({"dice_class0": [0.0] * 8 + [0.9] * 12})
    assert "and 5 more, where a class is missed or invented" in found.text
    assert len(found.look_at) == 3


def test_empty_truth():
    dice = EVEN.copy()
    dice[:5] = np.nan
    assert "15 images; in 5 more both masks are empty)" in sentences({"dice_class0": dice}).text
    none = sentences({"dice_class0": [np.nan] * 3})
    assert none.text == "Dice is undefined for all of the 3 images: prediction and ground truth are empty."
    assert none.look_at == ()


def test_of_many_classes_the_lowest_and_the_highest():
    found = sentences(
        {f"dice_class{k}": np.full(12, 0.5 + k / 20) for k in range(8)},
        class_names=[f"c{k}" for k in range(8)],
    )
    assert ": from 0.50 for c0 to 0.85 for c7." in found.sentences[0]


def test_the_training_is_judged():
    losses = tuple((epoch, 1 / epoch) for epoch in range(1, 6))
    curves = [Curve("losses", name, losses) for name in ("train_loss", "val_loss")]
    found = sentences({"dice_class0": EVEN}, curves=curves)
    assert found.text.endswith("; 5 epochs are too few to tell whether training had converged.")
    none = sentences({"dice_class0": [np.nan]}, curves=curves)
    assert none.sentences[1] == "5 epochs are too few to tell whether training had converged."
