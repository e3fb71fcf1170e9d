"""A first configuration: written from a data set, and trained with as it is."""

import json
import runpy
from pathlib import Path

import nibabel as nib
import pytest

from ivadomed.config import CONFIG_DIR, load_config
from ivadomed.main import main
from ivadomed.scripts.create_phantom import create_microscopy, create_phantom


@pytest.fixture
def init(tmp_path, monkeypatch, capsys):
    """Run --init in an empty folder; the configuration that it wrote, and what it printed."""
    monkeypatch.chdir(tmp_path)

    def init(data, *options):
        assert main(["--init", "first", "--path-data", str(data), *options]) == 0
        return json.loads(Path("first.json").read_text()), capsys.readouterr().out

    return init


def train_briefly(config, n_filters=2):
    config["training_parameters"]["training_time"]["num_epochs"] = 1
    config["training_parameters"]["num_workers"] = 0
    config["default_model"]["n_filters"] = n_filters
    config["gpu_ids"] = []
    Path("first.json").write_text(json.dumps(config))
    for command in ("--train", "--test"):
        assert main([command, "-c", "first.json", "--quiet"]) == 0
    assert Path("first/first/first.json").is_file()
    assert Path("first/results_eval/report.html").is_file()


def test_spinal_cords(study, init):
    config, text = init(study, "--target-suffix", "_seg-manual")
    loader = config["loader_parameters"]
    assert loader["path_data"] == [str(study)]
    assert loader["contrast_params"]["training_validation"] == ["T1w", "T2star", "T2w"]
    assert loader["target_suffix"] == ["_seg-manual"]
    assert loader["slice_axis"] == "axial"
    assert config["transformation"]["Resample"] == {"hspace": 1.2, "wspace": 1.2, "dspace": 3.0}
    assert config["postprocessing"] == {"binarize_prediction": {"thr": 0.5}, "keep_largest": {}}
    reasons = Path("first.md").read_text()
    for key in ("loader_parameters.slice_axis", "default_model.is_2d", "training_parameters.batch_size"):
        assert f"| {key} | `" in reasons
    assert "the coarsest axis; voxels of 1.2 mm x 1.2 mm x 3 mm" in text
    assert "\x1b" not in text  # this is no terminal
    train_briefly(config)


def test_micrographs(init, tmp_path):
    config, _ = init(create_microscopy(tmp_path / "data", n=3, seed=0, size=(200, 180)))
    assert config["loader_parameters"]["extensions"] == [".png"]
    assert config["loader_parameters"]["target_suffix"] == ["_seg-axon-manual", "_seg-myelin-manual"]
    assert config["default_model"]["final_activation"] == "softmax"
    assert config["default_model"]["is_2d"] is True
    assert config["evaluation_parameters"]["surface_tolerance_mm"] == 0.0001
    assert "RandomMirror" in config["transformation"]
    train_briefly(config)


def test_thick_slices_along_another_axis(init, tmp_path):
    data = create_phantom(tmp_path / "data", n=3, seed=0, shape=(8, 40, 40), contrasts=["T2w"])
    config, _ = init(data, "--contrasts", "T2w", "--target-suffix", "_seg-manual", "_gmseg-manual")
    zooms = nib.as_closest_canonical(nib.load(next(data.glob("sub-*/anat/*_T2w.nii.gz")))).header.get_zooms()
    assert zooms.index(max(zooms)) == 0
    assert config["loader_parameters"]["slice_axis"] == "sagittal"
    assert config["default_model"]["final_activation"] == "sigmoid"  # grey matter lies in the cord
    assert "multichannel" not in config["loader_parameters"]
    load_config("first.json")


def test_an_expert_s_choices(init, tmp_path):
    """Cords, grey matter, lesions and discs of three subjects, of which one has no label of the grey matter."""
    options = {"size": "tiny", "contrasts": ["T1w"], "lesions": 1.0}
    data = create_phantom(tmp_path / "data", n=3, seed=0, **options)
    for label in (data / "derivatives/labels").glob("sub-001/anat/*_gmseg-manual.nii.gz"):
        label.unlink()
    config, text = init(data)
    assert config["loader_parameters"]["target_suffix"] == ["_csfseg-manual", "_gmseg-manual", "_seg-manual"]
    assert config["evaluation_parameters"]["surface_tolerance_mm"] == 1.5
    assert config["transformation"]["Resample"]["hspace"] == 1.5
    _, summary = text.split("\n\nLabels of ")
    words = [line.split() for line in summary.splitlines()]
    rows = {line[0]: line[1:] for line in words if line and line[0].startswith("_")}
    assert rows["_lesion-manual"][1] == "lesions"
    assert "left out: marks lesions; structures come first" in " ".join(rows["_lesion-manual"])
    assert rows["_seg-manual"][-2:] == ["class", "3"]
    assert "Of 1 images _gmseg-manual is missing; there it counts as empty." in summary
    assert "Warning: 3 subjects are few" in summary
    assert summary.split("\n\n")[0] in Path("first.md").read_text()


def test_lesions_are_not_cut_to_the_largest(init, tmp_path):
    data = create_phantom(tmp_path / "data", n=5, seed=0, size="tiny", contrasts=["T1w"], lesions=1.0)
    config, text = init(data, "--target-suffix", "_lesion-manual")
    assert "keep_largest" not in config["postprocessing"]
    assert "Warning" not in text
    load_config("first.json")


def test_contrasts_on_one_grid_are_channels(init, tmp_path):
    data = create_phantom(
        tmp_path / "data", n=3, seed=0, size="tiny", contrasts=["T1w", "T2w"], coregistered=True
    )
    config, _ = init(data)
    assert config["loader_parameters"]["multichannel"] is True
    assert load_config("first.json").in_channel == 2


def refused(arguments, capsys):
    assert main(arguments) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_configuration_is_never_replaced(study, init, capsys):
    init(study)
    before = Path("first.json").read_bytes()
    assert "first.json: exists already" in refused(["--init", "first.json", "-pd", str(study)], capsys)
    assert Path("first.json").read_bytes() == before


def test_what_cannot_be_a_data_set(tmp_path, monkeypatch, capsys, study):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "no such folder" in refused(["--init", "x", "-pd", "nowhere"], capsys)
    assert main(["--init", "x", "-pd", "empty"]) == 1
    assert "is not a data set of a known kind" in capsys.readouterr().err  # and a line for each kind
    assert "add --path-data" in refused(["--init", "x"], capsys)
    assert "no labelled image is a PDw" in refused(
        ["--init", "x", "-pd", str(study), "--contrasts", "PDw"], capsys
    )
    assert "leave -c CONFIG out" in refused(["--init", "x", "-c", "y.json", "-pd", str(study)], capsys)
    assert "belongs to --init" in refused(["--train", "-c", "y.json", "--contrasts", "T1w"], capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["empty"]


def test_a_table_of_files_that_are_not_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "t.csv").write_text("participant_id,T1w,_seg\na,no.nii.gz,no_seg.nii.gz\n")
    assert main(["--init", "x", "--path-data", "t.csv"]) == 1
    told = capsys.readouterr().err
    assert "2 left out, such as" in told
    assert "no.nii.gz: t.csv (a, column T1w) lists it, but it does not exist" in told


def test_too_few_subjects(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    data = create_phantom(tmp_path / "data", n=2, seed=0, size="tiny")
    assert "2 subject(s) with labelled images" in refused(["--init", "x", "-pd", str(data)], capsys)


def test_candidates_for_so_many_minutes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ivadomed.suggest.sizes.measure_pace", lambda device, n_axes, n_filters: 50e9)
    data = create_phantom(tmp_path / "data", n=5, seed=0, size="tiny", contrasts=["T1w"])
    asked = ["--init", "x", "-pd", str(data), "--target-suffix", "_seg-manual", "--candidates"]
    assert main([*asked, "--minutes", "3"]) == 0
    shown = capsys.readouterr().out
    written = sorted(path.name for path in tmp_path.glob("x*"))
    assert "x_3d.json" in written
    assert [name for name in written if name.endswith(".json")] == [
        name.replace(".md", ".json") for name in written if name.endswith(".md")
    ]
    for name in written[::2]:
        config = load_config(name)
        assert config.training_parameters.training_time.max_minutes == 3
        assert config.path_output == name.removesuffix(".json")
        assert f"{name}: " in shown
        assert f"ivadomed --train -c {name}" in shown
    assert "3 minutes in batches of" in shown
    assert "exists already" in refused(asked, capsys)


def test_options_of_a_first_configuration(capsys):
    assert "--minutes: 0; expected a number of minutes" in refused(
        ["--init", "x", "-pd", ".", "--minutes", "0"], capsys
    )
    for option in (["--candidates"], ["--minutes", "3"]):
        assert f"{option[0]} belongs to --init" in refused(["--train", "-c", "y.json", *option], capsys)


@pytest.mark.real_data
def test_the_example_for_the_hippocampus_is_what_25_minutes_make(real_data):
    path = Path(__file__).parents[1] / "make_config_hippocampus.py"
    made = runpy.run_path(str(path))["hippocampus_config"](real_data / "msd_hippocampus")
    assert made == json.loads((CONFIG_DIR / "config_hippocampus.json").read_text()), f"run {path} again"


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "classes", "is_2d"),
    [
        ("msd_hippocampus", ["_seg-anterior", "_seg-posterior"], False),
        ("data_axondeepseg_sem", ["_seg-axon-manual", "_seg-myelin-manual"], True),
    ],
)
def test_real_data_sets(real_data, init, name, classes, is_2d):
    config, _ = init(real_data / name)
    assert config["loader_parameters"]["target_suffix"] == classes
    assert config["default_model"]["is_2d"] is is_2d
    load_config("first.json")
