"""Pictures for people."""

import sys
from types import SimpleNamespace

import imageio.v3 as iio
import numpy as np
import pytest
import torch

from ivadomed.visualize import (
    COLOURS,
    convert_labels_to_RGB,
    overlay,
    plot_transformed_sample,
    save_img,
    save_overlays,
)


class Writer:
    def __init__(self):
        self.images = {}

    def add_image(self, tag, image, epoch):
        self.images[tag] = (image.numpy(), epoch)


def test_one_class_is_white():
    labels = torch.tensor([0.0, 0.5, 1.0, 2.0]).reshape(1, 1, 2, 2)
    rgb = convert_labels_to_RGB(labels)
    assert rgb.shape == (1, 3, 2, 2)
    np.testing.assert_array_equal(rgb[0, 1], [[0, 0.5], [1, 1]])


def test_each_class_has_a_colour_of_its_own_and_they_start_again():
    labels = torch.eye(8)[None, :, :, None]  # class k in row k
    rgb = convert_labels_to_RGB(labels)[0, :, :, 0].T
    np.testing.assert_allclose(rgb[:6], COLOURS / 255, atol=1e-6)
    assert len({tuple(c) for c in rgb[:6].tolist()}) == 6
    np.testing.assert_array_equal(rgb[6:], rgb[:2])


def test_tensorboard_gets_three_grids():
    writer, image = Writer(), torch.zeros(3, 2, 4, 5)
    image[:, 0, 0, 0] = torch.tensor([1.0, 2.0, 3.0])  # every picture is stretched to 0..1 on its own
    truth = torch.zeros(3, 1, 4, 5)
    truth[1] = 1
    save_img(writer, 7, "Training", image, truth, truth * 0.25)
    assert set(writer.images) == {"Training/Input", "Training/Ground Truth", "Training/Predictions"}
    grid, epoch = writer.images["Training/Input"]
    assert epoch == 7
    assert grid.shape == (3, 4, 15)
    assert np.argwhere(grid[0]).tolist() == [[0, 0], [0, 5], [0, 10]]
    np.testing.assert_allclose(grid[:, 0, [0, 5, 10]], 1)
    shown = writer.images["Training/Predictions"][0]
    np.testing.assert_allclose(shown[:, :, 5:10], 0.25)
    assert not shown[:, :, :5].any()
    assert not shown[:, :, 10:].any()


def test_more_than_eight_pictures_go_on_in_the_next_row_and_the_rest_is_black():
    writer = Writer()
    truth = torch.arange(1, 11).reshape(10, 1, 1, 1).expand(10, 1, 2, 3) / 10.0
    save_img(writer, 1, "V", torch.rand(10, 1, 2, 3), truth, truth)
    grid = writer.images["V/Ground Truth"][0]
    assert grid.shape == (3, 4, 24)
    np.testing.assert_allclose(grid[0, ::2, ::3].ravel(), [*np.arange(1, 11) / 10, *[0] * 6], rtol=1e-6)


def test_of_volumes_the_middle_slice_is_shown():
    writer = Writer()
    truth = torch.zeros(1, 1, 2, 2, 5)
    truth[..., 2] = 1
    save_img(writer, 1, "V", torch.rand(1, 1, 2, 2, 5), truth, 1 - truth, is_three_dim=True)
    assert (writer.images["V/Ground Truth"][0] == 1).all()
    assert (writer.images["V/Predictions"][0] == 0).all()


def test_a_constant_image_is_black_and_no_nan():
    writer = Writer()
    constant = torch.full((1, 1, 2, 2), 3.0)
    save_img(writer, 1, "V", constant, constant, constant)
    assert (writer.images["V/Input"][0] == 0).all()


def test_overlay_colours_the_prediction_and_outlines_the_truth():
    image = np.zeros((9, 9))
    image[:, 4:] = 1
    masks, truth = np.zeros((2, 2, 9, 9))
    masks[0, 0, 0], masks[1, 0, 8] = 1, 1
    truth[0, 3:6, 3:6] = 1
    picture = overlay(image, masks, truth)
    assert picture.dtype == np.uint8
    assert picture.shape == (9, 9, 3)
    np.testing.assert_array_equal(picture[0, 0], (COLOURS[0] / 2).astype(int))  # half over black
    np.testing.assert_array_equal(picture[0, 8], (255 / 2 + COLOURS[1] / 2).astype(int))  # half over white
    yellow = (picture == (255, 255, 0)).all(axis=2)
    assert yellow.sum() == 8
    assert not yellow[4, 4]  # the inside stays free
    np.testing.assert_array_equal(picture[8, 0], [0, 0, 0])
    np.testing.assert_array_equal(picture[7, 8], [255, 255, 255])


def test_overlay_enlarges_by_whole_pixels():
    image = np.array([[0.0, 1.0], [1.0, 0.0]])
    picture = overlay(image, np.zeros((1, 2, 2)), scale=3)
    assert picture.shape == (6, 6, 3)
    np.testing.assert_array_equal(picture[..., 0], np.kron(image, np.ones((3, 3))) * 255)


def test_overlay_of_a_constant_image():
    assert (overlay(np.full((3, 3), 7.0), np.zeros((1, 3, 3))) == 0).all()


@pytest.mark.parametrize(
    ("labelled", "n_slices", "shown"),
    [([2, 3, 4], 6, 3), (list(range(10)), 6, 6), ([5], 6, 1)],
)
def test_saved_are_slices_with_a_label_side_by_side(tmp_path, labelled, n_slices, shown):
    masks = np.zeros((1, 100, 60, 10))
    masks[0, 50, 30, labelled] = 1
    path = tmp_path / "sub folder" / "o.png"
    save_overlays(path, np.random.default_rng(0).random((100, 60, 10)), masks, n_slices=n_slices)
    # The 64 x 60 voxels around the label, enlarged five times; turned, a slice is 300 high and 320 wide.
    picture = iio.imread(path)
    assert picture.shape == (300, 320 * shown + 4 * (shown - 1), 3)
    assert [(picture[:, 324 * k - 4 : 324 * k] == 255).all() for k in range(1, shown)] == [True] * (shown - 1)


def test_without_a_label_slices_are_shown_whole(tmp_path):
    save_overlays(tmp_path / "o.png", np.zeros((100, 60, 10)), np.zeros((1, 100, 60, 10)), n_slices=4)
    assert iio.imread(tmp_path / "o.png").shape == (180, 4 * 300 + 3 * 4, 3)


def test_slices_of_the_truth_are_shown_too(tmp_path):
    masks, truth = np.zeros((2, 1, 300, 300, 10))
    masks[0, 10, 10, 1], truth[0, 200, 200, 8] = 1, 1
    save_overlays(tmp_path / "o.png", np.random.default_rng(0).random((300, 300, 10)), masks, truth)
    assert iio.imread(tmp_path / "o.png").shape == (300, 604, 3)


def test_large_pictures_are_made_smaller(tmp_path):
    masks = np.zeros((1, 4000, 3000, 1))
    masks[0, 100:3900, 100:2900] = 1
    save_overlays(tmp_path / "o.png", np.zeros((4000, 3000, 1)), masks, slice_axis=None)
    assert iio.imread(tmp_path / "o.png").shape == (1000, 750, 3)


def test_right_of_the_patient_is_right_and_anterior_is_up(tmp_path):
    image = np.zeros((300, 300, 1))
    image[200:, 200:] = 1  # right and anterior in HWD order of an axial image
    save_overlays(tmp_path / "o.png", image, np.zeros((1, 300, 300, 1)))
    picture = iio.imread(tmp_path / "o.png")
    assert picture[0, 299].tolist() == [255, 255, 255]
    assert picture[299, 0].tolist() == [0, 0, 0]
    assert picture[0, 0].tolist() == [0, 0, 0]


def test_a_sample_before_and_after(tmp_path):
    before, after = np.zeros((20, 30)), np.ones((10, 12, 3))
    after[..., 1] = np.eye(10, 12)
    path = tmp_path / "new" / "sample.png"
    figure = plot_transformed_sample(before, after, ["first", "second"], path, cmap="gray")
    shown = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in shown] == ["first", "second"]
    assert shown[0].images[0].get_array().shape == (20, 30)
    np.testing.assert_array_equal(shown[1].images[0].get_array(), np.eye(10, 12))  # the middle slice
    assert shown[1].images[0].get_cmap().name == "gray"
    assert iio.imread(path).shape[2] == 4


def test_a_sample_is_shown_in_a_window_without_a_file(monkeypatch):
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    opened = []
    monkeypatch.setattr(pyplot, "show", lambda: opened.append(pyplot.get_fignums()))
    plot_transformed_sample(np.zeros((2, 2)), np.ones((2, 2)))
    assert opened == [[1]]
    pyplot.close("all")


@pytest.mark.parametrize("tracking", [True, "run", False, None])
def test_wandb_gets_the_pictures_too(monkeypatch, tracking):
    logged = []
    wandb = SimpleNamespace(Image=lambda picture: picture.shape, log=logged.append)
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    run = SimpleNamespace(log=logged.append) if tracking == "run" else tracking
    truth = torch.ones(1, 1, 2, 2)
    save_img(Writer(), 3, "V", torch.rand(1, 1, 2, 2), truth, truth, run)
    if tracking:
        [record] = logged
        assert record["epoch"] == 3
        assert record["V/Predictions"] == (3, 2, 2)
    else:
        assert logged == []
