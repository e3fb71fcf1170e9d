"""Files of an earlier training."""

import pytest

from ivadomed.errors import OutputError
from ivadomed.training.outputs import refuse_to_overwrite, remove_training


@pytest.mark.parametrize("name", ["checkpoint.pth.tar", "best_model.pt", "final_model.pt", "m/m.pt"])
def test_a_trained_model_is_not_overwritten_silently(tmp_path, name):
    refuse_to_overwrite(tmp_path, tmp_path / "m")
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    with pytest.raises(OutputError) as caught:
        refuse_to_overwrite(tmp_path, tmp_path / "m")
    told = str(caught.value)
    assert told.startswith(f"{tmp_path}: holds a trained model already ({name})")
    assert all(
        part in told for part in ("--resume-training", "--overwrite", "run_main(config, overwrite=True)")
    )


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
