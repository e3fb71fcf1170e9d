"""``ivadomed_training_curve`` on events that the monitor of a training writes."""

import imageio.v3 as iio
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from torch.utils.tensorboard import SummaryWriter

from ivadomed.scripts.training_curve import (
    get_events_path_list,
    main,
    plot_curve,
    run_plot_training_curves,
    tensorboard_retrieve_event,
)
from ivadomed.training.monitor import Monitor
from ivadomed.visualize import curves


def train(folder, losses, first_epoch=1):
    monitor = Monitor(folder, 9, first_epoch)
    for epoch, loss in enumerate(losses, first_epoch):
        monitor.losses(epoch, loss, loss / 2, 0.1**epoch)
        monitor.metrics(epoch, {"dice_score": -loss})
    monitor.close()
    return folder


def values_of(folder, learning_rate=False):
    return tensorboard_retrieve_event(get_events_path_list(folder, learning_rate))


def test_values_of_a_training(tmp_path):
    run = train(tmp_path / "run", [-0.25, -0.5])
    assert get_events_path_list(run, False) == get_events_path_list(run, True) == [run]
    values = values_of(run)
    assert list(values.index) == [1, 2]
    assert values.to_dict("list") == {
        "dice_score": [0.25, 0.5],
        "train_loss": [-0.25, -0.5],
        "val_loss": [-0.125, -0.25],
        "learning_rate": pytest.approx([0.1, 0.01]),
    }


def test_values_of_a_training_of_ivadomed_2(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        for epoch, loss in enumerate([-0.25, -0.5], 1):
            writer.add_scalars("losses", {"train_loss": loss, "val_loss": loss / 2}, epoch)
            writer.add_scalars("Validation/Metrics", {"dice_score": -loss}, epoch)
            writer.add_scalar("learning_rate", 0.1**epoch, epoch)
    assert [place.name for place in get_events_path_list(tmp_path, True)] == [
        "Validation_Metrics_dice_score",
        "losses_train_loss",
        "losses_val_loss",
        tmp_path.name,
    ]
    assert values_of(tmp_path).to_dict("list") == {
        "dice_score": [0.25, 0.5],
        "train_loss": [-0.25, -0.5],
        "val_loss": [-0.125, -0.25],
        "learning_rate": pytest.approx([0.1, 0.01]),
    }


def test_a_resumed_training_has_each_epoch_once(tmp_path):
    run = train(tmp_path / "run", [-0.25, -0.5, -0.125])
    train(run, [-0.75, -1.0], first_epoch=2)
    values = values_of(run, True)
    assert values["train_loss"].to_dict() == {1: -0.25, 2: -0.75, 3: -1.0}
    assert len(values["learning_rate"]) == 3


def test_mean_and_standard_deviation():
    axes = Figure().subplots()
    runs = [pd.DataFrame({"val_loss": v}, index=range(1, len(v) + 1)) for v in ([1.0, 2, 9], [3.0, np.inf])]
    plot_curve(runs, "loss", axes, "two trainings", (0, 10))
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), [[1, 2], [2, 2], [3, 9]])
    [band] = axes.collections
    assert {tuple(point) for point in band.get_paths()[0].vertices} == {(1, 1), (1, 3), (2, 2), (3, 9)}
    assert axes.get_ylim() == (0, 10)
    assert axes.get_title() == "two trainings"


def test_files(tmp_path, capsys):
    for name in ("a_n=00", "a_n=01", "b[1]_n=00"):
        train(tmp_path / name, [-0.25, -0.5])
    (tmp_path / "a_other").mkdir()
    out = tmp_path / "new" / "curves"
    inputs = f"{tmp_path / 'a'},{tmp_path / 'b[1]'}"
    assert main(["-i", inputs, "--multiple", "-o", str(out), "-lr", "-y", "-1", "0"]) == 0
    plots = ["dice_score.png", "learning_rate.png", "losses.png"]
    tables = [f"{name}_training_values.csv" for name in ("a_n=00", "a_n=01", "b[1]_n=00")]
    assert sorted(p.name for p in out.iterdir()) == sorted([*tables, *plots])
    assert set(capsys.readouterr().out.split()) == {str(out / name) for name in plots}
    assert pd.read_csv(out / tables[0], index_col="epoch").loc[2, "train_loss"] == -0.5
    for name in plots:
        picture = iio.imread(out / name)
        assert picture.shape[1] > 2 * picture.shape[0]  # a subplot for a and one for b
    one = run_plot_training_curves(tmp_path / "a_n=00", tmp_path / "one")
    assert [p.name for p in one] == ["losses.png", "dice_score.png"]


@pytest.mark.parametrize(
    "limits",
    [
        ["-y", "-1,0"],
        ["-y", "-1", "0"],
        ["-y=-1,0"],
        ["--ylim_loss", "-1,0"],
        ["--ylim-loss", "-1.0,0.0"],
        ["-y", "-1, 0"],
    ],
)
@pytest.mark.parametrize("rate", ["-lr", "--lr", "--learning_rate", "--learning-rate"])
def test_spellings_of_the_options(tmp_path, limits, rate, monkeypatch):
    run = train(tmp_path / "run", [-0.25, -0.5])
    drawn = {}
    monkeypatch.setattr(
        curves, "plot_curve", lambda _, label, axes, title, limits: drawn.update({label: limits})
    )
    assert main(["--input", str(run), "--output", str(tmp_path / "out"), rate, *limits]) == 0
    assert drawn == {"loss": (-1, 0), "dice score": None, "learning rate": None}
    assert (tmp_path / "out/learning_rate.png").is_file()


@pytest.mark.parametrize("limits", ["1,0", "0", "0,1,2", "a,b", "0,nan", "0,inf"])
def test_limits_that_are_none(tmp_path, capsys, limits):
    run = train(tmp_path / "run", [-0.25])
    assert main(["-i", str(run), "-o", str(tmp_path / "out"), "-y", limits]) == 1
    [line] = capsys.readouterr().err.splitlines()
    assert f"--ylim-loss {limits}: expected the lower and the upper limit" in line


def test_folders_whose_names_have_commas(tmp_path):
    first, second = (train(tmp_path / f"out-loss=DiceLoss,depth={k}", [-0.25]) for k in (2, 3))
    assert main(["-i", str(first), "-o", str(tmp_path / "one")]) == 0
    assert main(["-i", f"{first},{second}", "-o", str(tmp_path / "two")]) == 0
    assert len(list((tmp_path / "one").glob("*.csv"))) == 1
    assert len(list((tmp_path / "two").glob("*.csv"))) == 2
    begin = tmp_path / "out-loss=DiceLoss,depth="
    assert main(["-i", str(begin), "--multiple", "-o", str(tmp_path / "all")]) == 0
    assert len(list((tmp_path / "all").glob("*.csv"))) == 2


def test_a_training_without_learning_rate_or_values(tmp_path, capsys, caplog):
    run = tmp_path / "run"
    with SummaryWriter(str(run)) as writer:  # as ivadomed 2
        writer.add_scalars("losses", {"train_loss": -0.25, "val_loss": -0.125}, 1)
    for file in run.glob("events*"):
        file.unlink()
    assert main(["-i", str(run), "-o", str(tmp_path / "out"), "--lr"]) == 0
    assert "has no learning-rate events" in caplog.text
    for file in run.glob("*/events*"):
        file.write_bytes(b"")
    assert main(["-i", str(run), "-o", str(tmp_path / "empty")]) == 1
    assert "its events contain no values" in capsys.readouterr().err


@pytest.mark.real_data
def test_events_of_2_9(real_data, tmp_path):
    events = real_data / "data_functional_testing" / "tensorboard_events"
    metrics = {
        "accuracy_score",
        "dice_score",
        "hausdorff_score",
        "intersection_over_union",
        "multi_class_dice_score",
        "precision_score",
        "recall_score",
        "specificity_score",
    }
    for arguments in (["-i", str(events)], ["-i", f"{events},{events.parent / 'tensor'}", "--multiple"]):
        assert main([*arguments, "-o", str(tmp_path)]) == 0
        files = {f"{name}.png" for name in metrics | {"losses"}} | {"tensorboard_events_training_values.csv"}
        assert {path.name for path in tmp_path.iterdir()} == files
    values = pd.read_csv(tmp_path / "tensorboard_events_training_values.csv", index_col="epoch")
    assert values.loc[1, "train_loss"] == pytest.approx(-0.0015898, abs=1e-7)
    assert set(values) == metrics | {"train_loss", "val_loss"}


def test_a_single_column_can_be_drawn():
    axes = Figure().subplots()
    plot_curve([pd.Series([1.0, 2.0], name="dice_score")] * 2, "dice", axes, "two", None)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1, 2])


def test_trainings_of_one_name(tmp_path):
    for parent in ("x", "y"):
        train(tmp_path / parent / "run", [-0.25])
    run_plot_training_curves(f"{tmp_path}/x/run, {tmp_path}/y/run", tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*_training_values.csv"))) == 2


def test_errors_are_one_line(tmp_path, capsys):
    for arguments, message in (
        (["-i", str(tmp_path)], "has no training events"),
        (["-i", str(tmp_path / "x"), "--multiple"], "x*: no training folder has this prefix"),
    ):
        assert main([*arguments, "-o", str(tmp_path / "out")]) == 1
        [line] = capsys.readouterr().err.strip().splitlines()
        assert message in line
    assert not (tmp_path / "out").exists()
