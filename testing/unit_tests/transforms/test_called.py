"""Transforms of a user that implement nothing but ``__call__`` (and ``undo_transform``)."""

import random
import sys
from types import ModuleType

import numpy as np
import pytest
import torch

import ivadomed.transforms as t
from ivadomed.errors import ConfigError, DataError
from ivadomed.loader.sample_meta_data import SampleMetadata
from ivadomed.transforms import Compose, ImedTransform, Pipeline, UndoCompose, multichannel_capable

X = np.random.default_rng(0).random((6, 5), dtype=np.float32)


class Add(ImedTransform):
    """Written for one array."""

    def __init__(self, value=1.0):
        self.value = value

    def __call__(self, sample, metadata=None):
        return sample + self.value, metadata

    def undo_transform(self, sample, metadata=None):
        return sample - self.value, metadata


class FlipLists(ImedTransform):
    """Written for lists of channels; says in the metadata what it did."""

    def __call__(self, sample, metadata=None):
        for record in metadata:
            record.setdefault("flipped", True) if isinstance(record, dict) else record._update(
                {"flipped": True}, ["flipped"]
            )
        return [np.flip(x, 0).copy() for x in sample], metadata

    def undo_transform(self, sample, metadata=None):
        assert metadata[0]["flipped"]
        return [np.flip(x, 0).copy() for x in sample], metadata


class RandomRoll(ImedTransform):
    """Draws from the generators that everybody shares, and keeps the draw in the metadata for the next call."""

    @multichannel_capable
    def __call__(self, sample, metadata=None):
        if "rolled" not in metadata:
            metadata["rolled"] = (
                random.randrange(1, 5),
                int(np.random.randint(1, 5)),  # noqa: NPY002
                int(torch.randint(9, ())),
            )
        return np.roll(sample, metadata["rolled"][0], 0), metadata

    @multichannel_capable
    def undo_transform(self, sample, metadata=None):
        return np.roll(sample, -metadata["rolled"][0], 0), metadata


class Careless(ImedTransform):
    """Draws again in every call."""

    def __call__(self, sample, metadata=None):
        shift = random.randrange(100)
        return [np.roll(x, shift, 0) for x in sample], metadata


def records(n=1, data_type="im"):
    return [SampleMetadata({"zooms": [1, 1], "data_type": data_type}) for _ in range(n)]


@pytest.fixture
def module(monkeypatch):
    made = ModuleType("my_transforms")
    made.Add, made.NoTransform = Add, int
    monkeypatch.setitem(sys.modules, "my_transforms", made)


@pytest.mark.parametrize("given", [Add(2.0), {"my_transforms:Add": {"value": 2.0}}])
def test_compose_and_its_inverse(given, module):
    compose = Compose(given if isinstance(given, dict) else {"mine": given})
    out, metadata = compose([X, 2 * X], records(2))
    assert isinstance(out, torch.Tensor)
    np.testing.assert_allclose(out.numpy(), np.stack([X, 2 * X]) + 2)
    back, _ = UndoCompose(compose)(out, metadata, data_type="im")
    np.testing.assert_allclose(back, [X, 2 * X], atol=1e-6)
    one, _ = compose(X, records()[0], preprocessing=True)
    np.testing.assert_allclose(one, X + 2)


@pytest.mark.parametrize("transform", [FlipLists(), RandomRoll(), Careless()])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_pipeline_treats_image_and_label_alike(transform, channels):
    plan = Pipeline.from_config({"mine": transform}).plan(X.shape, (1, 1), np.random.default_rng(3))
    image = np.stack([X] * channels)
    done = plan.apply_all({"im": image, "gt": X[None]}, 1)
    for channel in done["im"]:
        np.testing.assert_array_equal(channel, done["gt"][0])
    assert not np.array_equal(done["gt"][0], X)
    again = Pipeline.from_config({"mine": transform}).plan(X.shape, (1, 1), np.random.default_rng(3))
    np.testing.assert_array_equal(again.apply(image, "im", 1), done["im"])
    if not isinstance(transform, Careless):
        np.testing.assert_array_equal(plan.invert(done["gt"], "gt", 1)[0], X)


def test_between_built_in_ones(module):
    (before, after), undo = t.prepare_transforms(
        {
            "CenterCrop": {"size": [4, 4]},
            "mine": FlipLists(),
            "my_transforms:Add": {"value": 1.0, "applied_to": ["im"]},
            "NormalizeInstance": {"applied_to": ["im"]},
        }
    )
    pair = {"input": [X], "gt": [X], "input_metadata": records(), "gt_metadata": records(1, "gt")}
    pair, _ = t.apply_preprocessing_transforms(before, pair)
    pair, _ = t.apply_preprocessing_transforms(after, pair)
    np.testing.assert_array_equal(pair["gt"][0], X[1:5, 0:4][::-1])
    assert pair["gt_metadata"][0]["flipped"]
    assert abs(pair["input"][0].mean()) < 1e-6
    back, _ = undo(pair["gt"], pair["gt_metadata"])
    expected = np.zeros_like(X)
    expected[1:5, 0:4] = X[1:5, 0:4]
    np.testing.assert_array_equal(back[0], expected)


def test_randomness_of_the_process_goes_on_where_it_was():
    plan = Pipeline.from_config({"mine": RandomRoll()}).plan(X.shape, (1, 1), np.random.default_rng(0))
    for seed, draw in ((random.seed, random.random), (np.random.seed, np.random.rand)):
        seed(5)
        expected = draw()
        seed(5)
        plan.apply(X[None], "im", 1)
        assert draw() == expected


def test_errors_name_the_transform(module):
    class Doubles(ImedTransform):
        def __call__(self, sample, metadata=None):
            return sample * 2, metadata

    class Forgets(ImedTransform):
        def __call__(self, sample, metadata=None):
            return sample

    class Crops(ImedTransform):
        def __call__(self, sample, metadata=None):
            return [x[1:] for x in sample], metadata

    class Nothing(ImedTransform):
        pass

    with pytest.raises(DataError, match="Doubles: returned 4 arrays for 2"):
        Compose({"mine": Doubles()})([X, X], records(2))
    with pytest.raises(DataError, match=r"Forgets: .*must return the sample and the metadata"):
        Compose({"mine": Forgets()})([X], records())
    assert Compose({"mine": Crops()})([X], records())[0].shape == (1, 5, 5)
    plan = Pipeline.from_config({"mine": Crops()}).plan(X.shape, (1, 1), np.random.default_rng(0))
    with pytest.raises(DataError, match=r"Crops: returns \(5, 5\) for \(6, 5\) voxels; .*implement plan"):
        plan.apply(X[None], "im", 1)
    with pytest.raises(NotImplementedError, match="Nothing"):
        Pipeline.from_config({"mine": Nothing()}).plan((2, 2), (1, 1), np.random.default_rng(0))
    for name, message in [
        ("my_transforms:Absent", "cannot be imported"),
        ("my_transforms:NoTransform", "no transf"),
    ]:
        with pytest.raises(ConfigError, match=f"transformation.{name}: .*{message}"):
            Compose({name: {}})
    with pytest.raises(ConfigError, match=r"my_transforms:Add.valu: no such argument; did you mean 'value'"):
        Compose({"my_transforms:Add": {"valu": 1}})
