"""Configurations that people use, of ivadomed 2.x: each trains an epoch on a small data set made to fit it.

Changed are only the sizes (filters, depth, patches, crops, batch, epochs) and the paths.
"""

import json
import os
from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest

from ivadomed.config import load_config
from ivadomed.main import main
from ivadomed.models import save_model
from ivadomed.models.countception import Countception

_LEAST_SUBJECTS = 6
OLD_SECTIONS = {"UNet3D": "Modified3DUNet"}


def folder_of(name: str) -> Path | None:
    if "IVADOMED_TEST_DATA" not in os.environ:
        return None
    return Path(os.environ["IVADOMED_TEST_DATA"]).parent / "contract" / name


def files(name: str) -> list[Path]:
    folder = folder_of(name)
    return sorted(folder.glob("*.json")) if folder is not None and folder.is_dir() else []


def subjects(config) -> int:
    """So many that each side of the split has one."""
    split = config.split_dataset
    rest = 1 - split.train_fraction - split.test_fraction
    if config.architecture.name == "Countception":  # which has one size, a large one
        return _LEAST_SUBJECTS
    least = min(share for share in (split.train_fraction, split.test_fraction, rest) if share > 0.01)
    return max(_LEAST_SUBJECTS, round(1 / least) + 1)


def spacing(config) -> tuple[float, float, float]:
    step = config.transformation.Resample
    return (1.0, 1.0, 1.0) if step is None else (step.hspace, step.wspace, step.dspace)


def blob(rng, shape, radius):
    """An ellipsoid near the middle."""
    centre = np.array(shape) / 2 + rng.uniform(-1, 1, len(shape))
    places = np.moveaxis(np.indices(shape), 0, -1) - centre
    return np.linalg.norm(places / np.array(shape) * 2, axis=-1) < radius


def make_data(root: Path, config) -> Path:
    """A data set with the contrasts, labels, columns and voxel size that a configuration asks for."""
    loader, rng = config.loader_parameters, np.random.default_rng(3)
    contrasts = loader.contrast_params
    names = sorted({*contrasts.training_validation, *contrasts.testing}) or ["T2w"]
    suffixes = [s for entry in loader.target_suffix for s in ([entry] if isinstance(entry, str) else entry)]
    picture, count = loader.extensions[0] in (".png", ".tif"), subjects(config)
    reserved = [str(value) for value in config.split_dataset.data_testing.data_value]
    samples = [reserved[i] if i < len(reserved) else f"sample-{i}" for i in range(count)]
    columns = {"participant_id", "sex", config.split_dataset.split_method, config.split_dataset.balance}
    columns = ["participant_id", *sorted(columns - {None, "participant_id", "sample_id"})]
    rows = []
    for index in range(count):
        subject = f"sub-{index:02d}"
        rows.append(
            [
                subject if c == "participant_id" else "ab"[index % 2] + "cdefghijklmnopq"[index // 2]
                for c in columns
            ]
        )
        if config.split_dataset.balance:
            rows[-1][columns.index(config.split_dataset.balance)] = "xy"[index % 2]
        shape = [40, 40] if picture else [40, 40, 40]
        if not picture:
            shape[config.slice_axis_index] = 20 if not config.is_2d else max(2, 36 // count)
        labels = [blob(rng, shape, 0.7 / (k + 1)) for k in range(max(len(suffixes), 1))]
        for contrast in names:
            kind = "micr" if picture else "anat"
            sample = f"_{samples[index]}" if picture else ""
            stem = f"{subject}{sample}_{contrast}"
            image = rng.normal(100, 10, shape) + 60 * labels[0]
            there = root / subject / kind
            derived = root / "derivatives" / "labels" / subject / kind
            write(there / stem, image, config, picture)
            sidecar = {"PixelSize": [0.1, 0.1], "PixelSizeUnits": "um"} if picture else {"FlipAngle": 9}
            (there / f"{stem}.json").write_text(json.dumps(sidecar))
            for suffix, label in zip(suffixes, labels, strict=False):
                write(derived / f"{stem}{suffix}", label, config, picture)
    for name in ("", "derivatives/"):
        path = root / f"{name}dataset_description.json"
        path.write_text(
            json.dumps({"Name": "x", "BIDSVersion": "1.6.0", "PipelineDescription": {"Name": "x"}})
        )
    if picture:
        rows_of_samples = [f"{samples[i]}\tsub-{i:02d}\ttissue" for i in range(count)]
        (root / "samples.tsv").write_text(
            "\n".join(["sample_id\tparticipant_id\tsample_type", *rows_of_samples])
        )
    (root / "participants.tsv").write_text("\n".join("\t".join(row) for row in [columns, *rows]) + "\n")
    return root


def write(stem: Path, array, config, picture: bool) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    if picture:
        scaled = array * 255 if array.dtype == bool else np.clip(array, 0, 255)
        iio.imwrite(f"{stem}.png", scaled.astype(np.uint8))
        return
    # Resampling is done with slices along `slice_axis`; the grid is made so that it changes nothing.
    order = {"sagittal": (2, 0, 1), "coronal": (0, 2, 1), "axial": (0, 1, 2)}
    zooms = np.array(spacing(config))[list(order[config.loader_parameters.slice_axis])]
    dtype = np.uint8 if array.dtype == bool else np.float32
    nib.save(nib.Nifti1Image(array.astype(dtype), np.diag([*zooms, 1.0])), f"{stem}.nii.gz")


def small(raw: dict, config) -> dict:
    """Overrides of sizes; whatever else the file says stays."""
    three_d, name = not config.is_2d, config.architecture.name
    window = [32, 32, 16] if three_d else [32, 32]
    changes = {"training_parameters.batch_size": 4, "training_parameters.training_time.num_epochs": 1}
    changes["training_parameters.num_workers"] = 0
    if name != "Countception":
        changes["default_model.n_filters"] = 2
        changes["default_model.depth"] = 2
    for section in ("default_model", name, *(old for old, new in OLD_SECTIONS.items() if new == name)):
        for key in ("length", "stride"):
            for kind in ("2D", "3D"):
                if raw.get(section, {}).get(f"{key}_{kind}"):
                    changes[f"{section}.{key}_{kind}"] = [32, 32, 16][: int(kind[0])]
        if section in raw and "n_filters" in raw[section]:
            changes[f"{section}.n_filters"] = 2
    for crop in ("CenterCrop", "ROICrop"):
        if crop in config.transformation:
            changes[f"transformation.{crop}.size"] = window
    if name == "FiLMedUnet":
        changes[f"{name}.film_layers"] = [1] * 6
    return changes


def paths(config, folder: Path, detector: Path | None) -> dict:
    """Overrides of paths."""
    data = make_data(folder / "data", config)
    changes = {"loader_parameters.path_data": [str(data)], "path_output": str(folder / "out")}
    if config.loader_parameters.bids_config:
        changes["loader_parameters.bids_config"] = str(
            Path(load_config.__code__.co_filename).parent / "config_bids.json"
        )
    if config.split_dataset.fname_split:
        changes["split_dataset.fname_split"] = None
    if config.training_parameters.transfer_learning.retrain_model:
        model = folder / "best_model.pt"
        save_model(
            model,
            Countception(in_channel=1, out_channel=1),
            "Countception",
            {"in_channel": 1, "out_channel": 1},
        )
        changes["training_parameters.transfer_learning.retrain_model"] = str(model)
    if config.object_detection_params.object_detection_path:
        assert detector is not None
        changes["object_detection_params.object_detection_path"] = str(detector)
    return changes


@pytest.fixture
def trained(tmp_path, threshold_model, monkeypatch, caplog):
    """Return a function that trains with a file of 2.x and gives the folder of the run."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def train(file: Path) -> tuple[Path, Path]:
        raw, config = json.loads(file.read_text()), load_config(file)
        detector = None
        if config.object_detection_params.object_detection_path:
            contrasts = config.contrasts_for("training")
            detector = threshold_model(
                "cord",
                threshold=130.0,
                contrasts=contrasts if config.loader_parameters.multichannel else contrasts[:1],
            )
        changes = {**small(raw, config), **paths(config, tmp_path, detector)}
        mine = tmp_path / "config.json"
        mine.write_text(json.dumps(overridden(raw, changes)))
        caplog.clear()
        assert main(["--train", "-c", str(mine)]) == 0, caplog.text
        return mine, tmp_path / "out"

    return train


def overridden(raw: dict, changes: dict) -> dict:
    """The file with values set by dotted paths; old names of the same keys give way."""
    tree = json.loads(json.dumps(raw))
    old = {"loader_parameters": ["bids_path"], "": ["log_directory"]}
    for section, names in old.items():
        for name in names:
            (tree.get(section, {}) if section else tree).pop(name, None)
    sizes = {"CenterCrop": ("CenterCrop2D", "CenterCrop3D")}
    for path, value in changes.items():
        node = tree
        *parents, last = path.split(".")
        for key in parents:
            key = next((name for name in sizes.get(key, ()) if name in node), key)
            node = node.setdefault(key, {})
        node[last] = value
    return tree


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("file", files("real_configs"), ids=lambda path: path.stem[:60])
def test_trains_an_epoch(file, trained, caplog):
    mine, out = trained(file)
    config = load_config(mine)
    packaged = out / config.model_name / f"{config.model_name}.json"
    assert packaged.is_file()
    assert (out / "best_model.pt").is_file()
    # What the file says is what was trained, with a line for each key that is not.
    kept = json.loads((out / "config_file.json").read_text(encoding="utf-8"))
    for section in ("training_parameters", "split_dataset", "transformation", "postprocessing"):
        assert kept[section] == config.to_json()[section]
    if config.command == "test":
        assert main(["--test", "-c", str(mine)]) == 0


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.parametrize("file", files("published_models"), ids=lambda path: path.stem)
def test_a_published_model_is_trained_again(file, trained):
    mine, out = trained(file)
    assert (out / load_config(mine).model_name).is_dir()
