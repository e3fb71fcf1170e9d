"""``torch.compile`` where it works."""

import logging

import torch
from torch import nn

from ivadomed.training.network import compile_network

CPU = torch.device("cpu")


def test_without_a_compiler_the_network_stays_and_the_user_is_told(monkeypatch, caplog):
    def fails(function):
        raise RuntimeError("No C++ compiler found\nand much more")

    monkeypatch.setattr(torch, "compile", fails)
    model = nn.Linear(2, 2)
    with caplog.at_level(logging.WARNING, "ivadomed"):
        assert not compile_network(model, CPU)
    assert (
        "training_parameters.compile: torch.compile does not work here (No C++ compiler found)" in caplog.text
    )
    assert "much more" not in caplog.text
    assert model._compiled_call_impl is None


def test_a_compiled_network_keeps_its_names_and_numbers(monkeypatch):
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    # The code generator takes many seconds; what is before it is the same.
    compile_as = torch.compile
    monkeypatch.setattr(torch, "compile", lambda target, **_: compile_as(target, backend=backend))
    model = _Network()
    names, x = list(model.state_dict()), torch.rand(4, 2)
    expected = model(x)
    assert compile_network(model, CPU)
    assert list(model.state_dict()) == names
    assert torch.allclose(model(x), expected)
    assert len(graphs) == 2  # of the probe and of the network


class _Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(2, 3)

    def forward(self, x):
        return torch.relu(self.layer(x))
