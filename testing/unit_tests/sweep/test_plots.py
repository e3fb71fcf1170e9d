"""Pictures of a sweep."""

import numpy as np
import pytest
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from ivadomed.images.io import write_figure
from ivadomed.sweep.results import comparison_figure, tests_figure

tests_figure.__test__ = False


@pytest.fixture
def results(member, tmp_path):
    found = []
    for name, losses in (("depth=2", [-0.1, -0.3]), ("depth=3", [-0.2, -0.6])):
        run = member(name)
        with SummaryWriter(str(run.folder / "losses_val_loss")) as writer:
            for epoch, loss in enumerate(losses, 1):
                writer.add_scalar("losses", loss, epoch)
        table = {"index": ["s1", "s2"], "columns": ["dice_class0"], "data": [[-losses[0]], [-losses[1]]]}
        best = {"best_validation_loss": losses[1], "best_validation_dice": losses[1] + 0.1, "metrics": table}
        found.append((run, best))
    return found


def dots(axes):
    return [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"]


def test_comparison_shows_curves_and_scores_the_best_on_top(results, tmp_path):
    figure = comparison_figure(results, str(tmp_path / "out"))
    curves, loss, dice = figure.axes
    np.testing.assert_allclose([line.get_ydata() for line in curves.lines], [[-0.1, -0.3], [-0.2, -0.6]])
    assert list(curves.lines[0].get_xdata()) == [1, 2]
    assert [label.get_text() for label in loss.get_yticklabels()] == ["depth=3", "depth=2"]
    assert dots(loss) == [[-0.6], [-0.3]]
    assert dots(dice) == [pytest.approx([0.5]), pytest.approx([0.2])]
    # A configuration has one colour everywhere.
    assert curves.lines[1].get_color() == loss.lines[0].get_color() == dice.lines[0].get_color()
    assert curves.lines[0].get_color() != curves.lines[1].get_color()


def test_tests_are_shown_image_by_image(results, tmp_path):
    [axes] = tests_figure(results, str(tmp_path / "out")).axes
    shown = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "."]
    np.testing.assert_allclose(shown, [[0.2, 0.6], [0.1, 0.3]])
    means = [line.get_xdata()[0] for line in axes.lines if line.get_marker() == "|"]
    np.testing.assert_allclose(means, [0.4, 0.2])


def test_there_is_no_picture_of_tests_that_were_not_made(member):
    assert tests_figure([(member("a"), {"best_validation_loss": 1.0})], "out") is None


def test_picture_is_written(results, tmp_path):
    write_figure(tmp_path / "picture.png", comparison_figure(results, str(tmp_path / "out")), 110)
    with Image.open(tmp_path / "picture.png") as picture:
        assert picture.width > 1000
