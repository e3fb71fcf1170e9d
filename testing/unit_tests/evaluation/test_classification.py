"""Metrics of classified slices, against numbers found by hand."""

import numpy as np
import pandas as pd
import pytest

from ivadomed.errors import DataError
from ivadomed.evaluation.classification import ALL, SLICES, evaluate_slices, read_slices
from ivadomed.images.files import write_csv

ROWS = [  # image, slice, probability, truth
    ("a", 0, 0.9, 1),
    ("a", 1, 0.8, 0),
    ("a", 2, 0.2, 0),
    ("b", 0, 0.4, 1),
    ("b", 1, 0.1, 0),
]


def table(rows=ROWS) -> pd.DataFrame:
    return pd.DataFrame(
        [(image, z, 0, 0, "_lesion", p, t) for image, z, p, t in rows],
        columns=["image_id", "slice", "row", "column", "class", "probability", "truth"],
    )


def test_metrics_by_hand():
    found = evaluate_slices(table()).set_index("image_id")
    everything = found.loc[ALL]
    assert everything["n_slices"] == 5
    assert everything["n_positive"] == 2
    assert everything["accuracy"] == pytest.approx(3 / 5)
    assert everything["precision"] == pytest.approx(1 / 2)
    assert everything["recall"] == pytest.approx(1 / 2)
    assert everything["specificity"] == pytest.approx(2 / 3)
    # Pairs (positive, negative) in the right order: 0.9 over all three, 0.4 over two of three.
    assert everything["roc_auc"] == pytest.approx(5 / 6)
    assert found.loc["a", "precision"] == pytest.approx(1 / 2)
    assert np.isnan(found.loc["b", "precision"])  # nothing is predicted there


def test_an_image_of_one_kind_has_no_roc():
    found = evaluate_slices(table([("a", 0, 0.7, 0), ("a", 1, 0.2, 0)]))
    assert found["roc_auc"].isna().all()
    assert found["recall"].isna().all()


def test_absent_and_foreign_tables_are_named(tmp_path):
    with pytest.raises(DataError, match=r"classified_slices.csv: no classified slices.*--test first"):
        read_slices(tmp_path)
    write_csv(tmp_path / SLICES, table(), index=False)
    pd.testing.assert_frame_equal(read_slices(tmp_path), table())
    write_csv(tmp_path / SLICES, table().drop(columns="truth"), index=False)
    with pytest.raises(DataError, match="has no column truth"):
        read_slices(tmp_path)
