"""The documented helpers around configurations."""

import copy

import numpy as np
import pytest
import torch

import ivadomed.transforms as t
from ivadomed.errors import ConfigError
from ivadomed.loader.sample_meta_data import SampleMetadata

CONFIG = {
    "NormalizeInstance": {"applied_to": ["im"]},
    "Resample": {"hspace": 0.8, "wspace": 0.8, "dspace": 1},
    "CenterCrop": {"size": [24, 24]},
    "HistogramClipping": {"applied_to": ["im"]},
    "RandomAffine": {"degrees": 5, "dataset_type": ["training"]},
}
X = np.random.default_rng(0).random((30, 40), dtype=np.float32)


def meta(data_type="im"):
    return SampleMetadata({"zooms": [0.5, 0.7, 2.0], "crop_params": {}, "data_type": data_type})


def test_subsets_and_preprocessing_leave_the_configuration_alone():
    before = copy.deepcopy(CONFIG)
    training, validation, testing = t.get_subdatasets_transforms(CONFIG)
    assert list(training) == list(CONFIG)
    assert list(validation) == list(testing) == [n for n in CONFIG if n != "RandomAffine"]
    assert training["RandomAffine"] == {"degrees": 5}
    assert list(t.get_preprocessing_transforms(training)) == ["Resample", "CenterCrop"]
    training["CenterCrop"]["size"].append(3)
    assert before == CONFIG
    with pytest.raises(ConfigError, match="dataset_type"):
        t.get_subdatasets_transforms({"RandomReverse": {"dataset_type": ["train"]}})


def test_prepare_compose_and_undo():
    (first, second), undo = t.prepare_transforms(t.get_subdatasets_transforms(CONFIG)[2])
    y, metadata = first([X], [meta()], data_type="im", preprocessing=True)
    assert isinstance(y, list)
    assert y[0].shape == (24, 24)
    z, metadata = second(y, metadata, data_type="im")
    assert isinstance(z, torch.Tensor)
    assert z.shape == (1, 24, 24)
    # Intensity transforms stay at test time although they have no inverse.
    assert [type(s).__name__ for s in second.transform["im"]] == ["NormalizeInstance", "HistogramClipping"]
    assert second.transform["gt"] == []
    back, _ = undo(z, metadata, data_type="gt")
    assert back[0].shape == X.shape
    assert t.prepare_transforms({"NormalizeInstance": {}}, requires_undo=False)[1] is None
    assert t.prepare_transforms({"NormalizeInstance": {}})[0][0] is None
    assert second(None, None) == second([], []) == (None, None)


def test_undo_transform():
    crop = t.CenterCrop([10, 10])
    y, metadata = crop(X, meta())
    back, _ = t.UndoTransform(crop)(y, metadata)
    np.testing.assert_array_equal(back[10:20, 15:25], X[10:20, 15:25])
    assert np.count_nonzero(back) == 100


def test_preprocessing_puts_image_label_and_roi_on_one_grid():
    roi = np.zeros((30, 40), np.float32)
    roi[20, 10] = 1
    compose = t.Compose({"ROICrop": {"size": [8, 6]}})
    pair = {"input": [X], "gt": [X, X], "input_metadata": [meta()], "gt_metadata": [meta("gt"), meta("gt")]}
    out, out_roi = t.apply_preprocessing_transforms(
        compose, pair, {"gt": [roi], "gt_metadata": [meta("roi")]}
    )
    np.testing.assert_array_equal(out["input"][0], X[16:24, 7:13])
    np.testing.assert_array_equal(out["gt"][1], out["input"][0])
    assert out_roi["gt"][0][4, 3] == 1
    assert pair["input"][0] is X
    assert t.apply_preprocessing_transforms(None, pair) == (pair, None)


def test_label_follows_the_random_draw_of_the_image():
    compose = t.Compose({"RandomAffine": {"degrees": 30}, "CenterCrop": {"size": [20, 20]}})
    pair = {"input": [X], "gt": [X], "input_metadata": [meta()], "gt_metadata": [meta("gt")]}
    out, _ = t.apply_preprocessing_transforms(compose, pair)
    np.testing.assert_array_equal(out["input"][0], out["gt"][0])


def test_decorators_for_user_written_transforms():
    class AddRandom(t.ImedTransform):
        def plan(self, frame, rng):
            raise NotImplementedError

        @t.multichannel_capable
        @t.two_dim_compatible
        def __call__(self, sample, metadata=None):
            assert sample.ndim == 3
            if "add" not in metadata:
                metadata["add"] = float(torch.rand(()))
            return sample + metadata["add"], metadata

    (a, b), records = AddRandom()([X, X], [meta(), meta()])
    assert a.shape == X.shape
    np.testing.assert_array_equal(a, b)
    assert records[0]["add"] == records[1]["add"]
    assert AddRandom()([], []) == ([], [])


def test_torchio_transform():
    tio = pytest.importorskip("torchio")
    out, history = t.tio_transform(np.ones((4, 5, 6), np.float32), tio.RandomGamma(log_gamma=(0.1, 0.1)))
    assert out.shape == (4, 5, 6)
    assert history is not None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("CenterCrop2D", "CenterCrop"),
        ("ROICrop2D", "ROICrop"),
        ("Clage", "Clahe"),
        ("AdditionGaussianNoise", "AdditiveGaussianNoise"),
        ("preprare_transforms", "prepare_transforms"),
    ],
)
def test_old_names(old, new):
    with pytest.warns(DeprecationWarning, match=new):
        assert getattr(t, old) is getattr(t, new)


def test_unknown_name():
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        t.Nothing  # noqa: B018
