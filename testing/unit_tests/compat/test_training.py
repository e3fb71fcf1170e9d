"""Names of ``ivadomed.training`` of 2.x."""

import math
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ivadomed import training
from ivadomed.errors import ModelError
from ivadomed.loader.cases.case import Case
from ivadomed.loader.conditions import FilmEncoder
from ivadomed.main import run_command
from ivadomed.models import FiLMedUnet, Modified3DUNet, Unet


def test_metadata_of_a_film_network_is_one_hot():
    cases = [Case(id=c, images=(), contrasts=(c,)) for c in ("T1w", "T2w", "T2star")]
    params = {"name": "FiLMedUnet", "film_onehotencoder": FilmEncoder.fit(cases, "contrasts")}
    metadata = [[{"film_input": ["T2w"]}], [{"film_input": ["T1w"]}]]
    assert training.get_metadata(metadata, params) == [[0, 1, 0], [1, 0, 0]]


def test_encoders_of_scikit_learn_work_too():
    from sklearn.preprocessing import OneHotEncoder

    encoder = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit([["a"], ["b"]])
    params = {"name": "FiLMedUnet", "film_onehotencoder": encoder}
    assert training.get_metadata([[{"film_input": ["b"]}]], params) == [[0, 1]]


def test_metadata_of_hemis_are_the_contrasts_that_are_there():
    metadata = [[{"missing_mod": [1, 0]}, {}], [{"missing_mod": [1, 1]}, {}]]
    np.testing.assert_array_equal(training.get_metadata(metadata, {"name": "HeMISUnet"}), [[1, 0], [1, 1]])


def loop(model):
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    return optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)


def test_without_a_checkpoint_a_loop_starts_anew(tmp_path, caplog):
    model = nn.Linear(1, 1)
    optimizer, scheduler = loop(model)
    found = training.load_checkpoint(model, optimizer, {"gif": []}, scheduler, str(tmp_path / "none.tar"))
    assert found == (model, optimizer, {"gif": []}, 1, math.inf, scheduler, 0)
    assert "none.tar" in caplog.text


def test_a_checkpoint_of_2_x(tmp_path):
    trained = nn.Linear(2, 1)
    optimizer, scheduler = loop(trained)
    for _ in range(3):
        optimizer.zero_grad()
        trained(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
    state = {
        "epoch": 4,
        "state_dict": trained.state_dict(),
        "optimizer": optimizer.state_dict(),
        "gif_dict": {"image_path": ["a"], "slice_id": [3], "gif": []},
        "scheduler": scheduler,
        "patience_count": 2,
        "validation_loss": -0.5,
    }
    torch.save(state, tmp_path / "checkpoint.pth.tar")
    model = nn.Linear(2, 1)
    fresh = loop(model)
    model, _, gifs, epoch, loss, schedule, patience = training.load_checkpoint(
        model, fresh[0], {}, fresh[1], tmp_path / "checkpoint.pth.tar"
    )
    assert (gifs, epoch, loss, patience) == (state["gif_dict"], 4, -0.5, 2)
    assert torch.equal(model.weight, trained.weight)
    assert schedule.last_epoch == 3
    assert fresh[0].param_groups[0]["lr"] == optimizer.param_groups[0]["lr"]
    with pytest.raises(ModelError, match="does not fit"):
        training.load_checkpoint(nn.Linear(3, 1), fresh[0], {}, fresh[1], tmp_path / "checkpoint.pth.tar")


def test_a_checkpoint_of_a_run(context):
    _, _, _, best = run_command(context)
    model = Unet(depth=2, n_filters=2)
    optimizer, scheduler = loop(model)
    file = Path(context["path_output"], "checkpoint.pth.tar")
    model, _, _, epoch, loss, _, patience = training.load_checkpoint(model, optimizer, {}, scheduler, file)
    assert (epoch, loss, patience) == (2, pytest.approx(best), 0)
    stored = torch.load(file, weights_only=True)["optimization"]["model"]
    assert all(torch.equal(value, stored[key]) for key, value in model.state_dict().items())


class Dangerous:
    def __reduce__(self):
        return os.system, ("echo run",)


@pytest.mark.parametrize("content", [{"no": "epoch"}, [1], {"epoch": 1, "scheduler": Dangerous()}])
def test_what_is_no_checkpoint(tmp_path, content, capfd):
    torch.save(content, tmp_path / "c.tar")
    model = nn.Linear(1, 1)
    optimizer, scheduler = loop(model)
    with pytest.raises(ModelError, match=r"c\.tar"):
        training.load_checkpoint(model, optimizer, {}, scheduler, tmp_path / "c.tar")
    assert capfd.readouterr().out == ""


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("run", "build"),
    [
        ("run_2d", lambda: Unet(depth=2, n_filters=4)),
        ("run_3d", lambda: Modified3DUNet(1, 1, n_filters=4, attention=True)),
    ],
)
def test_checkpoints_that_2_9_10_wrote(real_data, run, build):
    file = real_data.parent / "contract" / "runs_of_2.9.10" / run / "checkpoint.pth.tar"
    if not file.is_file():
        pytest.skip("the contract is not there")
    model = build()
    optimizer, scheduler = loop(model)
    _, _, _, epoch, loss, _, _ = training.load_checkpoint(model, optimizer, {}, scheduler, file)
    assert epoch == 3  # of two
    assert -1 <= loss < 0
    assert optimizer.state_dict()["state"]


def test_film_parameters_are_stored_and_saved_as_the_manual_of_2020_does(tmp_path):
    torch.manual_seed(0)
    model = FiLMedUnet(depth=1, n_filters=2, n_metadata=2, film_layers=[1, 0, 0, 1])
    model(torch.rand(2, 1, 8, 8), [[1.0, 0.0], [0.0, 1.0]])
    with pytest.warns(DeprecationWarning, match="loader.film"):
        store, save = training.store_film_params, training.save_film_params
    metadata = [[{"contrast": "T1w"}], [{"contrast": "T2w"}]]
    gammas, betas, contrasts = store({}, {}, [], metadata, model, [1, 0, 0, 1], 1)
    assert contrasts == [["T1w", "T2w"]]
    assert {place: len(values) for place, values in gammas.items()} == {1: 1, 2: 0, 3: 0, 4: 1}
    save(gammas, betas, contrasts, 1, tmp_path)
    assert np.load(tmp_path / "gamma_layer_1.npy").shape == (2, 2)  # images, channels
    assert np.load(tmp_path / "metadata_values.npy").tolist() == ["T1w", "T2w"]
