import imageio.v3 as iio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import ConfigError
from ivadomed.training.mixup import mixup, save_mixup_sample


@given(seed=st.integers(0, 10_000), alpha=st.floats(0.05, 5), batch=st.integers(1, 6))
@settings(max_examples=50, deadline=None)
def test_image_and_label_are_mixed_alike_and_the_own_sample_dominates(seed, alpha, batch):
    # Sample i is the i-th unit vector, so the result shows the weights.
    data = torch.eye(batch).reshape(batch, batch, 1, 1)
    before = data.clone()
    image, label = mixup(data, data.clone(), alpha, generator=torch.Generator().manual_seed(seed))
    torch.testing.assert_close(image, label)
    weights = image.reshape(batch, batch)
    torch.testing.assert_close(weights.sum(1), torch.ones(batch))
    torch.testing.assert_close(weights.sum(0), torch.ones(batch))
    assert (weights.diagonal() >= 0.5 - 1e-6).all()
    assert torch.equal(data, before)


def test_one_seed_one_result():
    data = torch.rand(4, 1, 3, 3)
    results = []
    for _ in range(2):
        torch.manual_seed(3)
        results.append(mixup(data, data, 0.4)[0])
    assert torch.equal(*results)
    torch.manual_seed(4)
    assert not torch.equal(results[0], mixup(data, data, 0.4)[0])


def test_integer_labels_become_soft():
    labels = (torch.rand(6, 1, 4, 4) > 0.5).to(torch.uint8)
    _, soft = mixup(torch.rand(6, 1, 4, 4), labels, 1.0, generator=torch.Generator().manual_seed(0))
    assert soft.dtype == torch.float32
    assert ((soft > 0) & (soft < 1)).any()


@pytest.mark.parametrize("alpha", [0, -1.0, float("nan")])
def test_alpha_is_checked(alpha):
    with pytest.raises(ConfigError, match="mixup_alpha"):
        mixup(torch.rand(2, 1, 2, 2), torch.rand(2, 1, 2, 2), alpha)


def test_debugging_saves_a_sample(tmp_path):
    with pytest.raises(ConfigError, match="ofolder"):
        mixup(torch.rand(2, 1, 4, 5), torch.rand(2, 1, 4, 5), 1.0, debugging=True)
    mixup(torch.rand(2, 1, 4, 5), torch.rand(2, 1, 4, 5), 1.0, debugging=True, ofolder=tmp_path)
    [path] = (tmp_path / "mixup").iterdir()
    assert iio.imread(path).shape == (4, 10)


def test_sample_file_shows_image_beside_label(tmp_path):
    image = torch.tensor([[[0.0, 5.0], [10.0, 10.0]]])
    label = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]])
    first = save_mixup_sample(tmp_path, image, label, torch.tensor([0.75]))
    second = save_mixup_sample(str(tmp_path), image[..., None], label[..., None], torch.tensor(0.75))
    assert (first.name, second.name) == ("0.750_0000.png", "0.750_0001.png")
    expected = np.array([[0, 127, 255, 0], [255, 255, 0, 0]])
    np.testing.assert_array_equal(iio.imread(first), expected)
    np.testing.assert_array_equal(iio.imread(second), expected)
