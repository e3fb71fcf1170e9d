import pytest
import torch
import torch.nn.functional as F

from ivadomed.errors import ModelError
from ivadomed.models import FiLMedUnet
from ivadomed.models.film import FiLMgenerator, FiLMlayer, film_layer, film_switches, freeze_shared_weights


def test_modulation_of_zero_weights_is_one_half():
    layer = FiLMlayer(n_metadata=3, n_channels=2)
    for parameter in layer.parameters():
        torch.nn.init.zeros_(parameter)
    x = torch.rand(4, 2, 5, 6)
    out, _ = layer(x, torch.rand(4, 3), None)
    torch.testing.assert_close(out, 0.5 * x + 0.5)
    assert layer.gammas.shape == layer.betas.shape == (4, 2, 1, 1)


def test_scales_come_first_and_differ_between_samples():
    layer = FiLMlayer(2, 3)
    x, context = torch.rand(2, 3, 4, 4, 4), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    out, _ = layer(x, context, None)
    g = layer.generator
    hidden = torch.sigmoid(F.linear(context, g.linear1.weight, g.linear1.bias))
    hidden = torch.sigmoid(F.linear(hidden, g.linear2.weight, g.linear2.bias))
    parameters = torch.sigmoid(F.linear(hidden, g.linear3.weight, g.linear3.bias))
    gamma, beta = (p.reshape(2, 3, 1, 1, 1) for p in (parameters[:, :3], parameters[:, 3:]))
    torch.testing.assert_close(out, gamma * x + beta)


def test_nested_lists_serve_as_context():
    layer, x = FiLMlayer(2, 1), torch.rand(2, 1, 3, 3)
    from_list, _ = layer(x, [[1.0, 0.0], [0.0, 1.0]], None)
    from_tensor, _ = layer(x, torch.eye(2), None)
    torch.testing.assert_close(from_list, from_tensor)


def test_shared_weights_replace_the_own_ones():
    first, second = FiLMgenerator(3, 2), FiLMgenerator(3, 2)
    x = torch.rand(2, 3)
    _, shared = first(x)
    before, _ = second(x, shared)
    torch.nn.init.normal_(second.linear1.weight)
    torch.nn.init.normal_(second.linear2.weight)
    after, _ = second(x, shared)
    torch.testing.assert_close(before, after)


def test_only_the_first_generator_trains_the_shared_weights():
    network = torch.nn.ModuleList([FiLMlayer(2, 1), FiLMlayer(2, 1)])
    freeze_shared_weights(network)
    frozen = {name for name, p in network.named_parameters() if not p.requires_grad}
    assert frozen == {"1.generator.linear1.weight", "1.generator.linear2.weight"}


def test_missing_context_says_what_to_set():
    with pytest.raises(ModelError, match="metadata"):
        FiLMlayer(2, 1)(torch.rand(1, 1, 3, 3), None, None)


@pytest.mark.parametrize(
    ("film_layers", "expected"),
    [
        (None, [False] * 4),
        ([0, 0], [False] * 4),
        ([1, 0, 0, 1], [True, False, False, True]),
        ([0, 1, 0, 1, 1, 0], [False, True, False, False]),
    ],
)
def test_switches(film_layers, expected):
    assert film_switches(film_layers, 4) == expected


def test_surplus_switches_are_cut_with_one_warning(caplog):
    FiLMedUnet(depth=1, n_filters=2, n_metadata=2, film_layers=[1, 0, 0, 0, 0, 0, 0, 1])
    [record] = caplog.records
    assert "film_layers: 8 items for 4 places" in record.getMessage()


def test_too_short_switches_and_missing_length_are_refused():
    with pytest.raises(ModelError, match="3 items"):
        film_switches([1, 0, 1], 4)
    with pytest.raises(ModelError, match="n_metadata"):
        film_layer(None, 4)
