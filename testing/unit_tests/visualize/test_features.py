"""What a layer of a network sees."""

import nibabel as nib
import numpy as np
import pytest
import torch
from torch import nn

from ivadomed.errors import ModelError
from ivadomed.models import Modified3DUNet
from ivadomed.visualize import HookBasedFeatureExtractor, save_feature_map


@pytest.fixture
def network():
    """Doubles, then takes means over 2x2."""
    double = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.constant_(double.weight, 2.0)
    return nn.Sequential(double, nn.AvgPool2d(2))


def test_inputs_and_outputs_of_a_layer(network):
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    extractor = HookBasedFeatureExtractor(network, "1")
    [entered], [left] = extractor(x)
    torch.testing.assert_close(entered, 2 * x)
    torch.testing.assert_close(left[0, 0], torch.tensor([[5.0, 9.0], [21.0, 25.0]]))
    assert extractor.inputs_size == [x.shape]
    assert extractor.outputs_size == [torch.Size([1, 1, 2, 2])]
    assert not network[1]._forward_hooks


def test_maps_come_in_the_size_of_the_input(network):
    [_], [left] = HookBasedFeatureExtractor(network, "1", upscale=True)(torch.ones(1, 1, 4, 6))
    torch.testing.assert_close(left, torch.full((1, 1, 4, 6), 2.0))


def test_an_unknown_or_unused_layer_is_named(network):
    with pytest.raises(ModelError, match=r"layer 'psi': .* it has 0, 1"):
        HookBasedFeatureExtractor(network, "psi")
    network.unused = nn.Identity()
    network.forward = lambda x: x
    with pytest.raises(ModelError, match="'unused': the network does not use it"):
        HookBasedFeatureExtractor(network, "unused")(torch.ones(1, 1, 2, 2))


def test_attention_is_written_beside_the_image(tmp_path):
    torch.manual_seed(0)
    model = Modified3DUNet(1, 1, n_filters=2, attention=True)
    x = torch.rand(2, 1, 16, 32, 16)
    names = ["/data/sub-01_T1w.nii.gz", "/data/sub-02_T1w.nii.gz"]
    batch = {"input_metadata": [[{"input_filenames": [name]}] for name in names]}
    files = save_feature_map(batch, "attentionblock2", tmp_path, model, x, slice_axis=0)
    assert [f.name for f in files] == ["sub-01_T1w_0.nii.gz", "sub-02_T1w_1.nii.gz"]
    volumes = np.asarray(nib.load(files[1]).dataobj)
    # Sagittal slices are [S, A] with R as depth: back in RAS the axes are turned round.
    np.testing.assert_array_equal(volumes[..., 0], x[1, 0].numpy().transpose(2, 1, 0))
    attention = volumes[..., -1]
    assert attention.min() > 0
    assert attention.max() < 1
    assert attention.std() > 0
