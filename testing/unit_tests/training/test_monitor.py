"""What a user sees of a training."""

import io
import logging

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.data import DataLoader

from ivadomed.geometry.windows import Window
from ivadomed.loader.samples import Batch
from ivadomed.loader.samples.loading import ShardSampler
from ivadomed.training import monitor as module
from ivadomed.training.monitor import Monitor


def read(folder):
    return EventAccumulator(str(folder), size_guidance={"images": 0}).Reload()


def test_losses_are_logged_and_drawn(tmp_path, caplog):
    monitor = Monitor(tmp_path, 3, 1)
    with caplog.at_level(logging.INFO, "ivadomed"):
        monitor.losses(1, -0.123456, -0.2, 0.01)
        monitor.losses(2, -0.3, -0.25, 0.005)
        monitor.close()
    assert "Epoch 1 training loss: -0.1235." in caplog.messages
    assert "Epoch 2 validation loss: -0.2500." in caplog.messages
    drawn = read(tmp_path).Scalars("losses/val_loss")
    assert [(e.step, e.value) for e in drawn] == [(1, pytest.approx(-0.2)), (2, -0.25)]
    assert [e.value for e in read(tmp_path).Scalars("learning_rate")] == pytest.approx([0.01, 0.005])


def test_duration_is_told_in_minutes_and_seconds(tmp_path, caplog, monkeypatch):
    times = iter([100.0, 100.0 + 125.6])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(times))
    monitor = Monitor(tmp_path, 1, 1)
    with caplog.at_level(logging.INFO, "ivadomed"):
        monitor.close()
    assert caplog.messages == ["Training took 2 min 6 s."]


def test_metrics_have_a_curve_each(tmp_path):
    monitor = Monitor(tmp_path, 1, 1)
    monitor.metrics(1, {"dice_score": 0.75, "precision_score": 0.5})
    monitor.close()
    assert [e.value for e in read(tmp_path).Scalars("Validation/Metrics/dice_score")] == [0.75]


def test_progress_yields_every_batch_and_counts_samples(tmp_path):
    windows = [Window(0, (0, 0, z), (4, 4, 1)) for z in range(5)]
    sampler = ShardSampler(range(5), 2, 0, 1)
    loader = DataLoader(
        windows, batch_sampler=sampler, collate_fn=lambda some: Batch(None, None, None, tuple(some))
    )
    monitor = Monitor(tmp_path, 2, 1)
    taken = [
        (part.batch.windows, part.size, part.step, bar.total)
        for part, bar in monitor.progress(loader, 1, "training")
    ]
    assert taken == [
        (tuple(windows[:2]), 2, 0, 5),
        (tuple(windows[2:4]), 2, 1, 5),
        (tuple(windows[4:]), 1, 2, 5),
    ]
    monitor.close()


@pytest.mark.parametrize(("slice_axis", "place"), [(2, [3, 4]), (1, [1, 1]), (0, [1, 3]), (None, [4, 1])])
@pytest.mark.parametrize("depth", [(), (4,)])
def test_pictures_are_upright(tmp_path, slice_axis, place, depth):
    monitor = Monitor(tmp_path, 1, 1, slice_axis=slice_axis)
    truth = torch.zeros((1, 1, 6, 5, *depth))
    truth[0, 0, 4, 1] = 1
    monitor.images(1, "Training", truth, truth, truth)
    monitor.close()
    [picture] = read(tmp_path).Images("Training/Ground Truth")
    pixels = np.asarray(Image.open(io.BytesIO(picture.encoded_image_string)))
    assert np.argwhere(pixels.any(axis=2)).tolist() == [place]


@pytest.mark.parametrize("shape", [(3, 1, 6, 5), (3, 1, 6, 5, 4)])
def test_pictures_of_slices_and_volumes(tmp_path, shape):
    monitor = Monitor(tmp_path, 1, 1)
    target = torch.zeros(shape)
    target[0, 0, 2, 3] = 1
    monitor.images(1, "Training", torch.rand(shape), target, torch.rand(shape, requires_grad=True))
    monitor.close()
    events = read(tmp_path)
    assert set(events.Tags()["images"]) == {
        "Training/Input",
        "Training/Ground Truth",
        "Training/Predictions",
    }
    [truth] = events.Images("Training/Ground Truth")
    pixels = np.asarray(Image.open(io.BytesIO(truth.encoded_image_string)))
    assert pixels.shape == (6, 15, 3)  # three samples side by side
    assert np.argwhere(pixels.any(axis=2)).tolist() == [[2, 3]]
    assert (pixels[2, 3] == 255).all()


def test_a_resumed_run_hides_the_events_after_its_checkpoint(tmp_path):
    first = Monitor(tmp_path, 5, 1)
    for epoch in (1, 2, 3):
        first.losses(epoch, float(epoch), float(epoch), 0.1 * epoch)
    first.close()
    second = Monitor(tmp_path, 5, 3)  # killed in epoch 3, whose checkpoint was not written
    second.losses(3, 30.0, 30.0, 3.0)
    second.close()
    rates = read(tmp_path).Scalars("learning_rate")
    assert [(e.step, e.value) for e in rates] == [(1, pytest.approx(0.1)), (2, pytest.approx(0.2)), (3, 3.0)]
    train = read(tmp_path).Scalars("losses/train_loss")
    assert [(e.step, e.value) for e in train] == [(1, 1.0), (2, 2.0), (3, 30.0)]
