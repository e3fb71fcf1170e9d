"""The main job on real images: the tutorial's configuration made short."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest

from ivadomed.config import CONFIG_DIR
from ivadomed.inference import segment_volume
from ivadomed.main import main


@pytest.mark.real_data
def test_tutorial_configuration_on_real_mri(real_data, tmp_path):
    config = json.loads((CONFIG_DIR / "config.json").read_text(encoding="utf-8"))
    config["gpu_ids"] = []  # or a machine without a GPU warns
    config["default_model"] |= {"n_filters": 4, "depth": 2}
    config["training_parameters"]["training_time"]["num_epochs"] = 2
    config["split_dataset"] |= {"train_fraction": 0.34, "test_fraction": 0.33}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config))
    data, out = real_data / "data_functional_testing", tmp_path / "run"
    for command in ("--train", "--test", "--eval", "--segment"):
        assert main([command, "-c", str(path), "--path-data", str(data), "--path-output", str(out)]) == 0
    assert "WARNING" not in (out / "log").read_text(encoding="utf-8")
    predictions = list((out / "pred_masks").glob("*_class-0_pred.nii.gz"))
    assert len(predictions) == 9
    for prediction in predictions:
        name = prediction.name.removesuffix("_class-0_pred.nii.gz")
        image = nib.load(data / name.split("_")[0] / "anat" / f"{name}.nii.gz")
        assert nib.load(prediction).shape == image.shape
        np.testing.assert_allclose(nib.load(prediction).affine, image.affine, atol=1e-5)


@pytest.mark.real_data
def test_published_style_model_on_real_micrograph(real_data, tmp_path):
    """A packaged model segments a PNG whose pixel size is given as an option."""
    from ivadomed.config import load_config
    from ivadomed.images.files import write_json
    from ivadomed.models import Unet
    from ivadomed.models.checkpoint import save_model

    config = load_config(
        CONFIG_DIR / "config_small.json",
        {"transformation": {"Resample": {"hspace": 0.0005, "wspace": 0.0005}, "NormalizeInstance": {}}},
    )
    arguments = {"in_channel": 1, "out_channel": 1, "depth": 2, "n_filters": 4}
    folder = tmp_path / "model"
    save_model(folder / "model.pt", Unet(**arguments), "Unet", arguments)
    write_json(folder / "model.json", config.to_json() | {"model_name": "model", "postprocessing": {}})
    [picture] = Path(real_data, "data_testing", "microscopy_png", "sub-rat2", "micr").glob("*.png")
    options = {"pixel_size": [0.1, 0.1], "pixel_size_units": "um"}
    [image], [name] = segment_volume(folder, picture, options=options)
    assert image.shape == (725, 725, 1)
    assert name == "_seg-manual"
    data = image.get_fdata()
    assert 0 < data.max() <= 1
