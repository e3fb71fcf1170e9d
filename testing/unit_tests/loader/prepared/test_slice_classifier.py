"""A classifier that leaves slices out of a data set."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from ivadomed.errors import ConfigError, ModelError
from ivadomed.loader.prepared.cache import case_key, open_cases
from ivadomed.loader.prepared.prepare import Recipe, list_windows, prepare_case
from ivadomed.loader.slices import SliceClassifier, accepts
from ivadomed.models import build_model, save_model
from ivadomed.transforms import Pipeline

PLAIN = Pipeline.from_config({})


class Bright(torch.nn.Module):
    """Takes an image for what it looks for when its mean is above a value."""

    def __init__(self, above=0.0):
        super().__init__()
        self.above, self.batches = above, []

    def forward(self, x):
        self.batches.append(tuple(x.shape))
        return torch.sigmoid(50 * (x.mean(dim=(1, 2, 3)) - self.above))[:, None]


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "bright.pt"
    path.write_bytes(b"")
    return path


@pytest.fixture
def bright(monkeypatch, file):
    """A classifier of bright slices; its module counts the batches it was given."""
    module = Bright()
    monkeypatch.setattr("ivadomed.loader.slices.load_model", lambda path, device: module)
    return lambda steps=PLAIN: SliceClassifier(file, steps), module


def stack_of(levels):
    return np.array(levels, np.float32)[:, :, None, None] * np.ones((4, 5), np.float32)


def test_all_channels_of_a_slice_must_be_accepted_in_batches(bright):
    make, module = bright
    levels = [[1, 1], [1, -1], [-1, -1]] * 12
    verdicts = make()(stack_of(levels), (1, 1))
    assert verdicts == [True, False, False] * 12
    assert module.batches == [(32, 1, 4, 5), (32, 1, 4, 5), (8, 1, 4, 5)]


def test_it_sees_slices_as_the_network_does(bright):
    make, module = bright
    module.above = 0.5
    steps = Pipeline.from_config({"HistogramClipping": {"min_percentile": 0, "max_percentile": 50}})
    image = np.zeros((1, 1, 4, 4), np.float32)
    image[..., 0] = 10
    assert make()(image, (1, 1)) == [True]
    assert make(steps)(image, (1, 1)) == [False]


def test_a_contrast_that_a_case_lacks_is_not_shown(make_case, bright):
    make, module = bright
    module.above = 0.1  # zeros in its place would be rejected
    case = replace(make_case(), channels=(0, None))
    prepared = prepare_case(case, Recipe(PLAIN, classifier=make()))
    assert prepared.image.shape[:2] == (5, 2)
    assert prepared.facts.accepted == [True] * 5


def test_a_missing_file_names_the_key(tmp_path):
    with pytest.raises(ConfigError, match=r"slice_filter_params.classifier_path: .*none.pt is not a file"):
        SliceClassifier(tmp_path / "none.pt")


def test_a_damaged_file_names_the_key(file):
    with pytest.raises(ModelError, match=r"classifier_path: .*bright.pt"):
        SliceClassifier(file)(stack_of([[1]]), (1, 1))


def test_a_model_that_is_no_classifier_is_refused(tmp_path):
    images = np.zeros((2, 16, 16), np.float32)
    with pytest.raises(ModelError, match="classifier_path: Unet gives"):
        accepts(build_model("Unet", {"depth": 1, "n_filters": 2}), images)
    with pytest.raises(ModelError, match="does not accept single-channel slices"):
        accepts(build_model("Unet", {"in_channel": 2, "depth": 1, "n_filters": 2}), images)


def test_a_saved_network(tmp_path):
    arguments = {"num_classes": 2}
    model = build_model("resnet18", arguments)
    save_model(tmp_path / "net.pt", model, "resnet18", arguments)
    stack = np.random.default_rng(0).random((3, 1, 32, 32)).astype(np.float32)
    model.eval()
    with torch.no_grad():
        expected = [float(model(torch.from_numpy(image)[None])) >= 0.5 for image in stack]
    assert SliceClassifier(tmp_path / "net.pt")(stack, (1, 1)) == expected


@pytest.mark.parametrize("mode", ["disk", "memory", "none"])
def test_rejected_slices_are_left_out_and_asked_for_once(make_case, tmp_path, bright, mode):
    make, module = bright
    case = make_case(seed=3)
    means = prepare_case(case, Recipe(PLAIN)).image.mean(axis=(1, 2, 3))
    module.above = float(np.sort(means)[2])  # between the slices
    expected = [z for z in range(5) if means[z] > module.above]
    recipe = Recipe(PLAIN, classifier=make())
    [entry] = open_cases([case], recipe, mode, tmp_path / "cache")
    asked = len(module.batches)
    windows = list_windows(0, entry.stored.image_shape, entry.stored.facts, recipe)
    assert [w.start[2] for w in windows if means[w.start[2]] != module.above] == expected
    for window in windows:
        entry.read(window)
    assert len(module.batches) == asked
    if mode == "disk":
        open_cases([case], recipe, mode, tmp_path / "cache")
        assert len(module.batches) == asked


def test_the_cache_knows_box_patches_and_classifier(make_case, file):
    case, recipe = make_case(), Recipe(PLAIN, classifier=SliceClassifier(file))
    steps = Pipeline.from_config({"NormalizeInstance": {"applied_to": ["im"]}})
    boxed, patches = replace(case, box=(0, 5, 0, 5, 0, 3)), Recipe(PLAIN, length=(4, 4), stride=(2, 2))
    keys = [
        case_key(case, Recipe(PLAIN)),
        case_key(boxed, Recipe(PLAIN)),
        case_key(replace(case, box=(0, 5, 0, 6, 0, 3)), Recipe(PLAIN)),
        case_key(boxed, patches),
        case_key(case, recipe),
        case_key(case, Recipe(PLAIN, classifier=SliceClassifier(file, steps))),
    ]
    os.utime(file, (1, 1))
    keys.append(case_key(case, recipe))
    assert len(set(keys)) == len(keys)
    # Without a box the patch size changes nothing that is kept.
    assert case_key(case, patches) == keys[0]
