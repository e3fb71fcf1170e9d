"""Animations over the epochs."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image, ImageSequence

from ivadomed.geometry.windows import Window
from ivadomed.loader.samples import Sample
from ivadomed.training.gifs import GifRecorder, remove_frames


class Samples(list):
    """Stands in for a ``SampleDataset``: the slices of one case; those of ``labelled`` have a label."""

    def __init__(self, count, labelled, shape=(16, 16)):
        for z in range(count):
            target = np.full((1, *shape), float(z in labelled), np.float32)
            self.append(
                Sample(
                    np.random.default_rng(z).random((1, *shape)), target, None, Window(0, (0, 0, z), (1,) * 3)
                )
            )
        self.cases = [SimpleNamespace(id="sub-01_T2w", images=(Path("sub-01_T2w.nii.gz"),))]


def test_samples_with_labels_are_spread_over_the_data_set(tmp_path):
    recorder = GifRecorder(tmp_path, Samples(8, labelled=(3, 7)), 2, 2)
    assert list(recorder.samples) == ["sub-01_T2w_0_0_3", "sub-01_T2w_0_0_7"]
    assert len(GifRecorder(tmp_path, Samples(2, labelled=()), 9, 2).samples) == 2


@pytest.mark.parametrize("shape", [(16, 16), (16, 16, 5)])
def test_every_epoch_is_a_frame_also_those_before_an_interruption(tmp_path, shape):
    samples = Samples(1, labelled=(0,), shape=shape)
    for epochs in ((1, 2), (3,)):  # the second run resumes the first
        recorder = GifRecorder(tmp_path, samples, 1, 2)
        for epoch in epochs:
            recorder.record(epoch, lambda batch, epoch=epoch: torch.full_like(batch.image, epoch / 3))
        recorder.close()
    with Image.open(tmp_path / "gifs" / "sub-01_T2w_0_0_0.gif") as file:
        frames = [np.asarray(f.convert("RGB")).astype(int) for f in ImageSequence.Iterator(file)]
    assert len(frames) == 3
    # The prediction is painted in orange, which grows with it.
    inside = [frame[60:-30, 30:-30] for frame in frames]
    redness = [float((x[..., 0] - x[..., 2]).mean()) for x in inside]
    assert redness == sorted(redness)
    assert redness[0] < redness[2] - 20
    remove_frames(tmp_path)
    assert [p.name for p in (tmp_path / "gifs").iterdir()] == ["sub-01_T2w_0_0_0.gif"]


def test_nothing_is_written_when_nothing_was_asked_for(tmp_path):
    recorder = GifRecorder(tmp_path, Samples(3, ()), 0, 2)
    recorder.record(1, lambda batch: batch.image)
    recorder.close()
    assert not list(tmp_path.iterdir())
