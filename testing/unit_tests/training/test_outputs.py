"""Files of an earlier training."""

import pytest

from ivadomed.errors import OutputError
from ivadomed.training.outputs import can_go_on, refuse_to_overwrite, remove_training


@pytest.mark.parametrize("name", ["checkpoint.pth.tar", "best_model.pt", "final_model.pt", "m/m.pt"])
def test_a_trained_model_is_not_overwritten_silently(tmp_path, name):
    refuse_to_overwrite(tmp_path, tmp_path / "m")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(OutputError) as caught:
        refuse_to_overwrite(tmp_path, tmp_path / "m")
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}: already holds a trained model ({name})")
    assert all(part in told for part in ("--overwrite", "run_main(config, overwrite=True)"))
    assert ("--resume-training" in told) == (
        name == "checkpoint.pth.tar"
    )  # else there is nothing to go on with


@pytest.mark.parametrize(
    ("there", "left", "goes_on"),
    [
        (["best_model.pt"], [], False),  # killed before its first checkpoint
        (["best_model.pt", "checkpoint.pth.tar"], ["best_model.pt", "checkpoint.pth.tar"], True),
        (["best_model.pt", "final_model.pt"], ["best_model.pt", "final_model.pt"], False),
        (["rehearsal.json"], ["rehearsal.json"], False),
    ],
)
def test_what_a_training_that_was_killed_in_its_first_epoch_leaves(tmp_path, there, left, goes_on):
    for name in there:
        (tmp_path / name).touch()
    assert can_go_on(tmp_path) == goes_on
    assert sorted(path.name for path in tmp_path.iterdir()) == left


def test_only_what_a_training_wrote_is_removed(tmp_path):
    ours = ["best_model.pt", "events.out.tfevents.1", "losses_val_loss/events.out.tfevents.2", "m/m.onnx"]
    theirs = [
        "notes.txt",
        "pred_masks/a.nii.gz",
        "m/README.md",
        "mine/events.out.tfevents.3",
        "mine/x",
        "cache/a.case",
    ]
    for name in (*ours, *theirs):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    remove_training(tmp_path, tmp_path / "m")
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == set(theirs) - {"mine/events.out.tfevents.3"}
    assert not (tmp_path / "losses_val_loss").exists()
