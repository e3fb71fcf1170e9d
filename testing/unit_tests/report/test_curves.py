"""Training curves out of TensorBoard events."""

import pytest
import torch
from torch.utils.tensorboard import SummaryWriter

from ivadomed.report import read_curves
from ivadomed.report.events import Curve


def write(folder, tag, values, purge_step=None):
    with SummaryWriter(str(folder), purge_step=purge_step) as writer:
        for step, value in values.items():
            writer.add_scalar(tag, value, step)


@pytest.fixture
def run(tmp_path):
    write(tmp_path / "losses_train_loss", "losses", {1: -0.25, 2: -0.5})
    write(tmp_path / "Validation_Metrics_dice_score", "Validation/Metrics", {1: 0.5})
    write(tmp_path, "learning_rate", {1: 0.1})  # of the main file, which holds pictures too, nothing is read
    (tmp_path / "pred_masks").mkdir()
    return tmp_path


def test_curves_by_chart_and_name(run):
    assert read_curves(run) == [
        Curve("Validation/Metrics", "dice_score", ((1, 0.5),)),
        Curve("losses", "train_loss", ((1, -0.25), (2, -0.5))),
    ]


def test_curves_of_one_file_with_tags(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        for step, value in {1: -0.25, 2: -0.5}.items():
            writer.add_scalar("losses/train_loss", value, step)
            writer.add_scalar("learning_rate", value, step)
            writer.add_image("Training/Input", torch.rand(3, 64, 64), step)
        writer.add_scalar("Validation/Metrics/dice_score", 0.5, 1)
    assert read_curves(tmp_path) == [
        Curve("Validation/Metrics", "dice_score", ((1, 0.5),)),
        Curve("losses", "train_loss", ((1, -0.25), (2, -0.5))),
    ]


def test_a_training_of_2_that_went_on_with_tags_is_one_curve(run):
    write(run, "losses/train_loss", {2: -0.75, 3: -1}, purge_step=2)
    assert read_curves(run)[1].points == ((1, -0.25), (2, -0.75), (3, -1))


def test_epochs_that_were_trained_again_count_once(run):
    write(run / "losses_train_loss", "losses", {2: -0.75, 3: -1}, purge_step=2)
    write(run / "losses_train_loss", "losses", {3: -2}, purge_step=3)
    assert read_curves(run)[1].points == ((1, -0.25), (2, -0.75), (3, -2))


def test_the_tenth_file_of_a_process_comes_after_the_ninth(run):
    place = run / "losses_train_loss"
    next(place.iterdir()).rename(place / "events.out.tfevents.1700000000.host.7.9")
    write(run / "more", "losses", {2: -0.75}, purge_step=2)
    next((run / "more").iterdir()).rename(place / "events.out.tfevents.1700000000.host.7.10")
    assert read_curves(run)[1].points == ((1, -0.25), (2, -0.75))


def test_a_file_that_was_cut_off_gives_what_it_has(run):
    [file] = (run / "losses_train_loss").iterdir()
    file.write_bytes(file.read_bytes()[:-3])
    assert read_curves(run)[1].points == ((1, -0.25),)


def test_damaged_files_are_left_out(run):
    [file] = (run / "losses_train_loss").iterdir()
    file.write_bytes(b"\x04" + bytes(11) + b"\xff\xff\xff\xff" + bytes(4))
    assert [curve.chart for curve in read_curves(run)] == ["Validation/Metrics"]


def test_without_a_training_there_is_no_curve(tmp_path):
    assert read_curves(tmp_path) == []
    assert read_curves(tmp_path / "absent") == []
