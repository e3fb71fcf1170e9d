"""``ivadomed_choose_postprocessing`` on a run whose model is known: it answers 1 where the image is bright."""

from __future__ import annotations

import json
import shutil

import pandas as pd
import pytest

from ivadomed.scripts.choose_postprocessing import main

STEPS = {"binarize_prediction": {"thr": 0.5}}


@pytest.fixture
def run(study, threshold_model, tmp_path):
    """Folder of a run that has five subjects in its validation set."""
    package = threshold_model(
        "seg",
        threshold=0.75,
        contrasts=("T2w",),
        transformation={"NormalizeInstance": {"applied_to": ["im"]}},
        postprocessing=STEPS,
    )
    folder, split = tmp_path / "out", tmp_path / "split.json"
    folder.mkdir()
    shutil.move(package, folder / "seg")
    names = sorted(path.name for path in study.glob("sub-*/**/*_T2w.nii.gz"))
    split.write_text(json.dumps({"train": names[:1], "valid": names[1:], "test": []}))
    config = json.loads((folder / "seg" / "seg.json").read_text())
    config["loader_parameters"]["path_data"] = [str(study)]
    config |= {"path_output": str(folder), "split_dataset": {"fname_split": str(split)}, "gpu_ids": []}
    (folder / "config_file.json").write_text(json.dumps(config))
    return folder


def test_steps_are_shown_and_written_when_asked(run, capfd):
    config, packaged = run / "config_file.json", run / "seg" / "seg.json"
    before = packaged.read_text()
    assert main(["-c", str(config)]) == 0
    chosen = {**STEPS, "fill_holes": {}, "keep_largest": {}}
    shown = capfd.readouterr().out
    assert f'"postprocessing": {json.dumps(chosen)}\n--write writes' in shown
    assert packaged.read_text() == before
    table = pd.read_csv(run / "postprocessing.csv")
    kept = table[table["kept"]]
    assert kept["step"].tolist() == ["fill_holes", "keep_largest", "all together"]
    assert kept["subjects"].tolist() == [5, 5, 5]
    assert main(["-c", str(config), "--write"]) == 0
    for file in (packaged, config):
        assert json.loads(file.read_text())["postprocessing"] == chosen


def test_what_cannot_be_chosen_on(run, capfd, tmp_path):
    config = json.loads((run / "config_file.json").read_text())
    for changes, message in (
        ({"model_name": "other"}, "other: no packaged model here; run --train first"),
        ({"loader_parameters": {**config["loader_parameters"], "path_data": []}}, "no data set given"),
        ({"default_model": {"name": "resnet18"}}, "resnet18: its predictions are not masks"),
    ):
        file = tmp_path / "changed.json"
        file.write_text(json.dumps(config | changes))
        assert main(["-c", str(file)]) == 1
        assert message in capfd.readouterr().err
