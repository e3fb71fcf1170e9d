"""FiLM metadata: clusters of hand-made numbers, one-hot vectors by hand."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import DataError, ModelError
from ivadomed.loader import film
from ivadomed.loader.cases.case import Case
from ivadomed.loader.conditions import cluster, missing_metadata
from ivadomed.loader.film import FilmEncoder, Kde_model
from ivadomed.models import FiLMedUnet


def case(name="sub-01_T1w", contrast="T1w", **metadata):
    return Case(id=name, images=(), contrasts=(contrast,), metadata=metadata)


def protocol(flip, echo, repetition, manufacturer):
    return {"FlipAngle": flip, "EchoTime": echo, "RepetitionTime": repetition, "Manufacturer": manufacturer}


T1W = [case(**protocol(9, 0.0037 + i * 1e-5, 2, "Siemens")) for i in range(10)]
T2W = [case(**protocol(120, 0.12 + i * 1e-4, 1.5, "GE")) for i in range(10)]
SPGR = [case(**protocol(9, 0.0060, 0.03, "SIEMENS")) for _ in range(10)]


@pytest.mark.parametrize("bandwidths", [{"bandwidth": np.logspace(-2, 2, 30)}, np.logspace(-2, 2, 30)])
def test_the_minimum_lies_between_two_modes(bandwidths):
    rng = np.random.default_rng(0)
    data = np.concatenate([rng.normal(3, 0.2, 40), rng.normal(9, 0.3, 40)])
    model = Kde_model()
    model.train(data, np.linspace(0, 15, 600), bandwidths)
    [border] = model.minima
    assert 4.5 < border < 7.5
    assert [model.predict(v) for v in (2.5, 3.2, 8.0, 9.5)] == [0, 0, 1, 1]
    assert model.kde.bandwidth in np.logspace(-2, 2, 30)


def test_a_minimum_between_two_points_of_the_grid_counts():
    model = Kde_model()
    model.train([2.0] * 5 + [4.0] * 5, np.linspace(0, 6, 8), [0.4])  # 3 is no point of the grid
    assert len(model.minima) == 1
    assert (model.predict(2), model.predict(4)) == (0, 1)


@pytest.mark.parametrize("unit", [1e-3, 1, 1e3])
def test_clusters_do_not_depend_on_the_unit(unit):
    rng = np.random.default_rng(1)
    values = np.concatenate([rng.normal(centre, 0.5, 15) for centre in (0, 20, 60)]) * unit
    model = film.clustering_fit({"a": list(values)}, ["a"])["a"]
    assert [model.predict(v) for v in values] == [0] * 15 + [1] * 15 + [2] * 15


def test_equal_values_are_one_cluster():
    model = film.clustering_fit({"FlipAngle": [9, 9, 9]}, ["FlipAngle"])["FlipAngle"]
    assert model.minima == ()
    assert model.predict(120) == 0


@given(st.lists(st.floats(-10, 10), unique=True).map(sorted), st.floats(-10, 10))
def test_number_of_the_cluster_is_that_of_borders_below(minima, value):
    assert cluster(value, minima) == sum(border <= value for border in minima)


def test_mri_parameters():
    encoder = FilmEncoder.fit(T1W + T2W + SPGR, "mri_params")
    # FlipAngle 9 | 120, EchoTime short | long, RepetitionTime 0.03 | 1.5 | 2, GE | Siemens
    assert encoder.n_metadata == 9
    np.testing.assert_array_equal(encoder.encode(T1W[0]), [1, 0, 1, 0, 0, 0, 1, 0, 1])
    np.testing.assert_array_equal(encoder.encode(T2W[0]), [0, 1, 0, 1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(encoder.encode(SPGR[0]), [1, 0, 1, 0, 1, 0, 0, 0, 1])
    assert encoder.encode(T1W[0]).dtype == np.float32


def test_contrasts_are_in_order_of_their_ids():
    cases = [case(contrast=name) for name in ("T2star", "acq-MTon_MTS", "T1w", "acq-ax_T2w", "T1w")]
    encoder = FilmEncoder.fit(cases, "contrasts")
    assert encoder.known == (("T1w", "T2w", "T2star", "acq-MTon_MTS"),)
    np.testing.assert_array_equal(encoder.encode(cases[3]), [0, 1, 0, 0])
    np.testing.assert_array_equal(encoder.encode(case(contrast="acq-sag_T2w_reg")), [0, 1, 0, 0])


def test_a_contrast_of_ones_own_is_a_category():
    encoder = FilmEncoder.fit([case(contrast=name) for name in ("my_own", "T2w", "T1w_reg")], "contrasts")
    assert encoder.known == (("T1w", "T2w", "my_own"),)
    with pytest.raises(DataError, match="FiLM needs its contrast"):
        encoder.encode(Case("sub-01", images=()))


@pytest.mark.parametrize(
    ("metadata_type", "unseen", "expected"),
    [
        ("contrasts", case("sub-09", "dwi"), [0, 0]),
        ("contrasts", case("sub-09", "XYZ"), [0, 0]),
        ("Manufacturer", case("sub-09", Manufacturer="Philips"), [0, 0]),
        ("mri_params", case("sub-09", **protocol(9, 0.0037, 2, "Philips")), [1, 0, 1, 0, 0, 1, 0, 0]),
    ],
)
def test_a_category_that_training_did_not_see_is_zeros_with_one_warning(
    metadata_type, unseen, expected, caplog
):
    encoder = FilmEncoder.fit(T1W + [case(contrast="T2w", **c.metadata) for c in T2W], metadata_type)
    for _ in range(3):
        np.testing.assert_array_equal(encoder.encode(unseen), expected)
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert re.search(
        "sub-09: .* which did not occur in the training set: .*zeros .known: ", record.getMessage()
    )


def test_column_of_participants():
    cases = [case(pathology=value) for value in ("MS", "healthy", "DCM", "ms ")]
    encoder = FilmEncoder.fit(cases, "pathology")
    np.testing.assert_array_equal([encoder.encode(c) for c in cases], np.eye(3)[[2, 1, 0, 2]])
    np.testing.assert_array_equal(encoder.encode(case("sub-07", pathology="ALS")), [0, 0, 0])
    assert [labels.tolist() for labels in encoder.categories_] == [["dcm", "healthy", "ms"]]
    # The same number, read as text, whole or with a point.
    sites = FilmEncoder.fit([case(site=1.0), case(site="2")], "site")
    np.testing.assert_array_equal(sites.encode(case(site=1)), [1, 0])
    np.testing.assert_array_equal(sites.encode(case(site=np.int64(2))), [0, 1])


@pytest.mark.parametrize("value", [None, float("nan"), "", [1, 2]])
def test_missing_values_are_named(value):
    with pytest.raises(DataError, match=r"sub-01_T1w: .*(EchoTime)"):
        FilmEncoder.fit([case(**{**protocol(9, 0.1, 2, "GE"), "EchoTime": value})], "mri_params")
    with pytest.raises(DataError, match=r"sub-01_T1w: .*pathology"):
        FilmEncoder.fit([case(pathology=value)], "pathology")
    assert "EchoTime" in missing_metadata(case(FlipAngle=1, Manufacturer="GE", EchoTime=value), "mri_params")
    assert missing_metadata(T1W[0], "mri_params") is None
    assert missing_metadata(case(), "contrasts") is None
    with pytest.raises(DataError, match="no training image"):
        FilmEncoder.fit([], "pathology")


@pytest.mark.parametrize("metadata_type", ["contrasts", "mri_params", "Manufacturer"])
def test_an_encoder_survives_json(metadata_type):
    encoder = FilmEncoder.fit(T1W + T2W, metadata_type)
    again = FilmEncoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again == encoder
    np.testing.assert_array_equal(again.encode(T2W[0]), encoder.encode(T2W[0]))


@pytest.mark.parametrize("content", [{}, {"features": [{}]}, {"features": 3}, {"features": [], "x": 1}])
def test_other_json_is_refused(content):
    with pytest.raises(DataError, match="FiLM encoder"):
        FilmEncoder.from_json(content)


def samples(cases):
    return [
        {"input": i, "input_metadata": [{"contrast": c.contrasts[0], "bids_metadata": c.metadata}]}
        for i, c in enumerate(cases)
    ]


@pytest.mark.parametrize("metadata_type", ["contrasts", "mri_params", "Manufacturer"])
def test_documented_functions_agree_with_the_encoder(metadata_type):
    cases = T1W + T2W + SPGR
    given = samples(cases)
    encoded, encoder, models = film.get_film_metadata_models(given, metadata_type, debugging=True)
    assert "film_input" not in given[0]["input_metadata"][0]
    assert (models is None) == (metadata_type != "mri_params")
    rows = [sample["input_metadata"][0]["film_input"] for sample in encoded]
    direct = FilmEncoder.fit(cases, metadata_type)
    np.testing.assert_array_equal(encoder.transform(rows), [direct.encode(c) for c in cases])
    again = film.normalize_metadata(given[:2], models, False, metadata_type)
    assert [s["input_metadata"][0]["film_input"] for s in again] == rows[:2]


def test_check_is_mri_param():
    assert film.check_isMRIparam("EchoTime", {"EchoTime": 0.1}, "sub-01", {})
    assert film.check_isMRIparam("EchoTime", ["EchoTime"], "sub-01")
    assert not film.check_isMRIparam("EchoTime", {"EchoTime": "long"}, "sub-01")
    assert not film.check_isMRIparam("EchoTime", {"FlipAngle": 9}, "sub-01")


def test_scales_and_shifts_are_stored_and_saved(tmp_path):
    layers, depth = [1, 0, 1, 0, 1, 1], 2
    model = FiLMedUnet(depth=depth, n_filters=2, n_metadata=2, film_layers=layers).eval()
    metadata = [[{"contrast": "T1w"}], [{"contrast": "T2w"}]]
    gammas, betas, values = {}, {}, []
    with pytest.raises(ModelError, match="batch"):
        film.store_film_params(gammas, betas, values, metadata, model, layers, depth, "contrast")
    with torch.no_grad():
        for _ in range(3):
            model(torch.rand(2, 1, 8, 8), torch.eye(2))
            gammas, betas, values = film.store_film_params(
                gammas, betas, values, metadata, model, layers, depth, "contrast"
            )
    film.save_film_params(gammas, betas, values, depth, tmp_path)
    shapes = [np.load(tmp_path / f"gamma_layer_{place}.npy").shape for place in range(1, 7)]
    assert shapes == [(6, 2), (0, 0), (6, 4), (0, 0), (6, 2), (6, 1)]
    np.testing.assert_array_equal(
        np.load(tmp_path / "beta_layer_3.npy")[2:4], model.encoder.film_bottom.betas.flatten(1).numpy()
    )
    assert np.load(tmp_path / "metadata_values.npy").tolist() == ["T1w", "T2w"] * 3


def test_encoding_needs_no_scikit_learn():
    code = (
        "import sys\nfrom ivadomed.loader.conditions import Feature, FilmEncoder\n"
        "FilmEncoder('x', (Feature('EchoTime', (0.5,)),), ((0, 1),)).transform([[1]])\n"
        "assert not {'sklearn', 'torch', 'pandas'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
