"""From a folder to an ensemble: what is left at the end, also after the process was killed on the way."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from ivadomed.auto import stages
from ivadomed.commands import train
from ivadomed.config.tree import merged, read_json
from ivadomed.images import files
from ivadomed.inference import segment_volume
from ivadomed.main import main
from ivadomed.scripts.create_phantom import create_phantom
from ivadomed.suggest import sizes

TINY = {
    "training_parameters": {"num_workers": 0},
    "default_model": {"n_filters": 2, "max_filters": 4},
    "evaluation_parameters": {"overlays": 0},
}


@pytest.fixture(scope="module", autouse=True)
def recorded_pace():
    """A machine that always has the same pace, and a clock that goes on by a second whenever somebody reads it."""
    clock = partial(next, map(float, count()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sizes, "measure_pace", lambda *network: 5e10)
        patch.setattr(train, "time", SimpleNamespace(monotonic=clock))
        patch.setattr(train, "train", partial(train.train, clock=clock))
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return create_phantom(
        tmp_path_factory.mktemp("auto") / "data", n=5, seed=2, size="tiny", contrasts=["T2w"]
    )


@pytest.fixture(scope="module")
def planned(data, tmp_path_factory) -> Path:
    """A folder with a plan of two candidates on two folds, the second one a user's own, of a few short epochs each."""
    folder = tmp_path_factory.mktemp("planned") / "cord"
    options = ["--path-data", str(data), "--target-suffix", "_seg-manual", "--hours", "1"]
    assert main(["--auto", str(folder), *options, "--plan", "--quiet"]) == 0
    change(folder / "auto.json", {"candidates": ["3d", "mine"], "n_folds": 2, "minutes": 0.2})
    change(folder / "candidates/3d.json", TINY)
    shutil.copy(folder / "candidates/3d.json", folder / "candidates/mine.json")
    change(folder / "candidates/mine.json", {"default_model": {"n_filters": 4}})
    return folder


@pytest.fixture(scope="module")
def finished(planned, tmp_path_factory) -> Path:
    """The same folder after a run that nothing interrupted."""
    folder = shutil.copytree(planned, tmp_path_factory.mktemp("finished") / "cord")
    assert main(["--auto", str(folder), "--quiet"]) == 0
    return folder


def change(file: Path, changes: dict) -> None:
    file.write_text(json.dumps(merged(json.loads(file.read_text()), changes)))


def winner_of(folder: Path) -> str:
    table = pd.read_csv(folder / "candidates.csv")
    return table.loc[table["chosen"], "candidate"].item()


def test_the_winner_is_trained_on_all_folds_and_tested(finished, capsys):
    table, winner = pd.read_csv(finished / "candidates.csv"), winner_of(finished)
    assert set(table["candidate"]) == {"3d", "mine"}
    assert winner == table.sort_values("score")["candidate"].iloc[-1]
    assert table["epochs"].nunique() == 1
    assert table["epochs"][0] > 1
    summary = pd.read_csv(finished / winner / "cross_validation/results_eval/summary.csv")
    assert summary["n"].max() == 5  # each subject once, and no test set with so few
    packaged = {path.name for path in (finished / "cord").iterdir()}
    assert {"cord.json", "cord_0.pt", "cord_1.pt", "cord_0.onnx", "cord_1.onnx"} <= packaged
    log = (finished / "log").read_text()
    for text in ("Plan ", "on fold 0, then the rest of the 2 folds", "--train -c", "--test -c", "Winner"):
        assert text in log
    page = (finished / "summary.md").read_text()
    assert "| candidate |" in page
    assert f"ivadomed_segment_image -m {finished / 'cord'}" in page


def test_a_finished_run_repeats_nothing(finished):
    trained = [finished / winner_of(finished) / f"fold_{fold}/checkpoint.pth.tar" for fold in range(2)]
    results = [finished / "candidates.csv", *finished.rglob("evaluation_3Dmetrics.csv")]
    before = [path.stat().st_mtime_ns for path in trained], [path.read_bytes() for path in results]
    assert main(["--auto", str(finished), "--quiet"]) == 0
    assert ([path.stat().st_mtime_ns for path in trained], [path.read_bytes() for path in results]) == before


@pytest.fixture
def to_change(finished, tmp_path) -> Iterator[Path]:
    """The finished folder, which is put back afterwards; a copy elsewhere would be another run."""
    kept = shutil.copytree(finished, tmp_path / "kept")
    yield finished
    shutil.rmtree(finished)
    shutil.copytree(kept, finished)


def test_two_candidates_that_are_better_together_are_joined(to_change, data, monkeypatch):
    folder = to_change
    change(folder / "auto.json", {"pair": True})
    monkeypatch.setattr(stages, "with_pair", lambda verdict, pair, *_: replace(verdict, winner=pair))
    assert main(["--auto", str(folder), "--quiet"]) == 0
    [pair] = folder.glob("*+*")
    table = pd.read_csv(pair / "cross_validation/results_eval/evaluation_3Dmetrics.csv")
    assert len(table) == 5
    origins = [member["model"] for member in read_json(folder / "cord/cord.json")["ensemble"]]
    assert origins == ["fold_0/cord", "fold_0/cord", "fold_1/cord", "fold_1/cord"]
    image = data / "sub-001/anat/sub-001_T2w.nii.gz"
    [of_pair], _ = segment_volume(folder / "cord", image, options=SOFT)
    alone = [
        segment_volume(folder / name / f"fold_{fold}/cord", image, options=SOFT)[0][0].get_fdata()
        for name in ("3d", "mine")
        for fold in range(2)
    ]
    np.testing.assert_allclose(of_pair.get_fdata(), np.mean(alone, axis=0), atol=1e-5)


SOFT = {"binarize_prediction": 0, "keep_largest": 0}


class Killed(BaseException):
    """Ends a run at once, as SIGKILL does."""


KILLS = {
    "before the first checkpoint": ("3d/fold_0/checkpoint.pth.tar", 1),
    "after a validation": ("3d/fold_0/best_model.pt", 1),
    "between two epochs": ("3d/fold_0/checkpoint.pth.tar", 2),
    "before the package of a fold": ("3d/fold_0/cord/cord.json", 1),
    "before the record of a candidate": ("steps/*.json", 1),
    "while the postprocessing is chosen": ("*/cross_validation/postprocessing.csv", 1),
    "within the ensemble": ("*/cord_1.pt", 1),
    "during the test": ("*/results_eval/evaluation_3Dmetrics.csv", 1),
    "before the record of the test": ("steps/*.json", 1),
}
"""What is about to be written when the run is killed, and how often it was before."""


def test_killed_again_and_again_it_ends_with_the_same_tables(planned, finished, tmp_path, monkeypatch):
    folder = shutil.copytree(planned, tmp_path / "cord")
    for when, (pattern, number) in KILLS.items():
        with monkeypatch.context() as patch:
            killer = kill_before(patch, folder, pattern, number)
            try:
                main(["--auto", str(folder), "--quiet"])
                pytest.fail(f"{when}: {pattern} was written {number - killer['left']} times")
            except Killed:
                (folder / "run.lock").write_text("{}")
    assert main(["--auto", str(folder), "--quiet"]) == 0
    winner = winner_of(finished)
    tables = ["candidates.csv", *(f"{winner}/cross_validation/{path}" for path in TABLES)]
    for table in tables:
        assert (folder / table).read_text() == (finished / table).read_text()


TABLES = ("results_eval/evaluation_3Dmetrics.csv", "results_eval/summary.csv", "postprocessing.csv")


def kill_before(patch, folder: Path, pattern: str, number: int) -> dict[str, int]:
    """Kill a run when something of a name is to be moved to its place for this time; what was written is left over."""
    move, state = files.move, {"left": number}

    def killing(source, target):
        if (
            Path(target)
            .relative_to(folder.parent if folder not in Path(target).parents else folder)
            .match(pattern)
        ):
            state["left"] -= 1
            if not state["left"] and Path(source).is_file():
                shutil.copy(source, Path(source).with_name(f".left~{Path(source).name}"))
            if not state["left"]:
                raise Killed
        move(source, target)

    patch.setattr(files, "move", killing)
    return state


def test_one_training_for_whoever_has_little_time(data, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    arguments = [
        "--auto",
        "cord",
        "--path-data",
        str(data),
        "--target-suffix",
        "_seg-manual",
        "--hours",
        "0.001",
    ]
    assert main([*arguments, "--plan"]) == 0
    assert "one training" in Path("cord/log").read_text()
    change(Path("cord/candidates/3d.json"), TINY)
    assert main(arguments) == 0
    checkpoint = Path("cord/3d/checkpoint.pth.tar")
    before = checkpoint.stat().st_mtime_ns
    assert Path("cord/3d/results_eval/report.html").is_file()
    assert main(["--auto", "cord"]) == 0
    assert checkpoint.stat().st_mtime_ns == before
    new = tmp_path / "new"
    shutil.copytree(data, new, ignore=shutil.ignore_patterns("derivatives", "sub-00[2-9]"))
    assert main(["--segment", "-c", "cord/config_file.json", "--path-data", str(new), "--quiet"]) == 0
    assert [path.name for path in Path("cord/pred_masks").glob("*.nii.gz")] == [
        "sub-001_T2w_class-0_pred.nii.gz"
    ]
    assert main([*arguments[:-1], "8"]) == 1
    assert "--hours: 8, but cord/auto.json has 0.001" in capsys.readouterr().err


def test_a_training_that_fails_says_which_one_and_what_to_do(planned, tmp_path, capsys):
    folder = shutil.copytree(planned, tmp_path / "cord")
    change(folder / "auto.json", {"candidates": ["3d"]})
    change(folder / "candidates/3d.json", {"default_model": {"n_filterz": 3}})
    assert main(["--auto", str(folder)]) == 1
    error = capsys.readouterr().err
    assert "candidates/3d.json" in error
    assert "n_filterz" in error
