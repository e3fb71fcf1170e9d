import logging
import sys
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivadomed.config import load_packaged
from ivadomed.errors import ConfigError
from ivadomed.images.files import write_json


@dataclass(frozen=True)
class Network:
    in_channel: int | None = 1
    is_2d: bool | None = True
    classes: int | None = 1

    def count_classes(self):
        return self.classes


PACKAGED = {
    "command": "train",
    "gpu_ids": [0],
    "path_output": "out",
    "model_name": "seg",
    "loader_parameters": {
        "path_data": ["data"],
        "target_suffix": ["_seg-manual"],
        "contrast_params": {"training_validation": ["T1w"], "testing": ["T1w"], "balance": {}},
        "slice_axis": "axial",
        "multichannel": False,
    },
    "training_parameters": {"batch_size": 8, "loss": {"name": "DiceLoss"}},
    "default_model": {
        "name": "Unet",
        "depth": 3,
        "is_2d": True,
        "length_2D": [32, 32],
        "stride_2D": [16, 16],
    },
    "postprocessing": {"keep_largest": {}, "binarize_prediction": {"thr": 0.5}},
    "transformation": {
        "Resample": {"hspace": 1.0, "wspace": 1.0, "dspace": 1.0},
        "CenterCrop": {"size": [64, 64]},
        "RandomAffine": {"degrees": 5, "dataset_type": ["training"]},
        "NormalizeInstance": {"applied_to": ["im"]},
    },
}


def edited(**changes):
    """The JSON with keys changed by their paths, ``__`` between; ``...`` removes one."""
    content = deepcopy(PACKAGED)
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = content
        for key in parents:
            node = node.setdefault(key, {})
        if value is ...:
            node.pop(last, None)
        else:
            node[last] = value
    return content


@pytest.fixture
def read(tmp_path):
    def read(network=None, **changes):
        write_json(tmp_path / "seg.json", edited(**changes))
        return load_packaged(tmp_path / "seg.json", network or Network())

    return read


def relevant(config):
    """What prediction takes of a configuration."""
    return (
        config.class_names,
        config.in_channel,
        config.is_2d,
        config.length,
        config.stride,
        config.slice_axis_index,
        config.postprocessing.model_dump(mode="json"),
        config.transforms_for("testing"),
        config.metadata_type,
        config.object_detection_params,
        config.loader_parameters.roi_params,
        config.loader_parameters.slice_filter_params,
    )


IRRELEVANT = {
    "hashes of the training data": {"training_sha256": {"sub-01_T1w.nii.gz": "258b"}},
    "hashes below": {"loader_parameters__training_sha256": {"a": "b"}},
    "a loss of a fork": {"training_parameters__loss": {"name": "ForkLoss", "gamma": [1, {"a": 2}]}},
    "arguments of a loss": {"training_parameters__loss": {"name": "DiceLoss", "smoothness": 2}},
    "a loss that is text": {"training_parameters__loss": "DiceLoss"},
    "a scheduler of a fork": {"training_parameters__scheduler": {"initial_lr": "x", "lr_scheduler": None}},
    "a newer key of training": {"training_parameters__optimizer": {"name": "Lion"}},
    "wrong epochs": {"training_parameters__training_time__num_epochs": "many"},
    "wrong batch size": {"training_parameters__batch_size": "8"},
    "no training": {"training_parameters": ...},
    "training is null": {"training_parameters": None},
    "training is text": {"training_parameters": "as usual"},
    "a training transform of a fork": {
        "transformation__ForkWarp": {"strength": 3, "dataset_type": ["training", "validation"]}
    },
    "arguments of a training transform": {
        "transformation__RandomAffine": {"degrees": "big", "shear": 3, "dataset_type": ["training"]}
    },
    "a set that is text": {"transformation__ForkWarp": {"dataset_type": "training"}},
    "a transform of labels": {"transformation__ForkSoften": {"applied_to": ["gt"]}},
    "a transform that is null": {"transformation__RandomBlur": None},
    "NumpyToTensor": {"transformation__NumpyToTensor": {}},
    "preprocessing": {"transformation__Resample__preprocessing": True},
    "newer tracking": {"wandb": {"wandb_api_key": "", "entity": "lab", "tags": ["a"]}},
    "tracking is a flag": {"wandb": False},
    "evaluation of a fork": {"evaluation_parameters": {"volume_metrics": True, "target_size": 7}},
    "evaluation is null": {"evaluation_parameters": None},
    "uncertainty of a fork": {"uncertainty": {"evidential": True}},
    "an unknown section": {"federated_learning": {"rounds": 5}},
    "unknown keys on top": {"comment": "ours", "version": 7, "tags": [1, None], "nothing": None},
    "an unknown key of the loader": {"loader_parameters__prefetch": 4},
    "a misspelt key": {"subject_selection:": {}, "loader_parameters__subject_selection:": {}},
    "an unknown filter": {"loader_parameters__slice_filter_params": {"filter_dark": True}},
    "unknown network arguments": {"default_model__norm": "group", "default_model__depth": "three"},
    "an unknown architecture": {"default_model__name": "HourglassNet"},
    "a section of an architecture": {
        "HourglassNet": {"applied": False},
        "FiLMedUnet": {"applied": False, "x": 1},
    },
    "film layers of another depth": {"FiLMedUnet": {"applied": False, "film_layers": [0, 1] * 9}},
    "a network that is not applied": {
        "FiLMedUnet": {"applied": False, "metadata": {"T1w": 0}, "film_layers": "all"},
        "UNet3D": {"length_3D": "big", "metadata": 3},
    },
    "no cascade": {"object_detection_params": {"object_detection_path": False, "safety_factor": []}},
    "a single contrast": {"loader_parameters__contrast_params__training_validation": "T1w"},
    "a section that is null": {
        "Modified3DUNet": None,
        "split_dataset": None,
        "object_detection_params": None,
    },
    "a split of a fork": {"split_dataset": {"split_method": 3, "folds": "all"}},
    "detection keys of a run": {
        "object_detection_params__gpu_ids": 0,
        "object_detection_params__path_output": "x",
    },
    "a wrong command": {"command": "deploy", "gpu_ids": "all", "log_file": 3, "debugging": "yes"},
    "old keys": {"gpu": 1, "log_directory": "x", "loader_parameters__bids_path": "y"},
    "testing parameters": {"testing_parameters": {"binarize_prediction": True, "dropout": 1}},
    "arguments of a step": {"postprocessing__keep_largest__connectivity": 26},
    "a step that is null": {"postprocessing__fill_holes": None},
    "channel statistics": {"loader_parameters__contrast_params__contrast_lst": ["T1w"]},
    "unknown blend": {"blend": "hann"},
}


@pytest.mark.parametrize("changes", IRRELEVANT.values(), ids=IRRELEVANT)
def test_what_prediction_does_not_need_is_left_aside(read, changes, caplog):
    expected = relevant(read())
    assert relevant(read(**changes)) == expected
    assert [r for r in caplog.records if r.levelno > logging.DEBUG] == []


def test_what_is_left_aside_is_a_debug_line(read, caplog):
    with caplog.at_level(logging.DEBUG):
        read(federated_learning={"rounds": 5})
    assert "federated_learning: not used by prediction" in caplog.text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transformation__ForkNormalize": {}}, r"transformation\.ForkNormalize: unknown key"),
        ({"transformation__ForkNormalize": {"dataset_type": ["testing"]}}, r"ForkNormalize"),
        (
            {"transformation__Resample": {"hspace": 1, "wspace": 1, "mode": 3}},
            r"transformation\.Resample\.mode",
        ),
        ({"transformation__Resample": {"hspace": "fine", "wspace": 1}}, r"transformation\.Resample\.hspace"),
        ({"transformation__CenterCrop": "128"}, r"transformation\.CenterCrop: '128'"),
        ({"loader_parameters__slice_axis": "oblique"}, r"slice_axis: 'oblique'"),
        ({"default_model__length_2D": "big"}, r"default_model\.length_2D"),
        ({"postprocessing__binarize_prediction": {"thr": "half"}}, r"binarize_prediction\.thr: 'half'"),
        ({"postprocessing__remove_small": {}}, r"remove_small\.thr: is missing"),
    ],
)
def test_what_would_change_a_prediction_is_an_error(read, changes, message):
    with pytest.raises(
        ConfigError, match=rf"seg\.json: 1 problem\n  .*{message}|seg\.json: .*{message}"
    ) as info:
        read(**changes)
    assert len(str(info.value).splitlines()) <= 2


@pytest.mark.parametrize("name", ["os:system", "subprocess:Popen", "antigravity:geohash", "our_parts:step"])
@pytest.mark.parametrize("section", ["transformation", "postprocessing"])
def test_a_packaged_json_imports_nothing(read, section, name):
    before = set(sys.modules)
    with pytest.raises(ConfigError, match="is not allowed to import"):
        read(**{f"{section}__{name}": {}})
    assert set(sys.modules) == before


def test_unknown_steps_make_one_warning(read, caplog):
    config = read(postprocessing={"fork_smooth": {}, "keep_largest": {}, "fork_fill": {"n": 3}})
    assert list(config.postprocessing.steps) == ["keep_largest"]
    [record] = caplog.records
    assert "postprocessing.fork_smooth; postprocessing.fork_fill" in record.getMessage()


@pytest.mark.parametrize("suffixes", [..., None, [], 3, {"a": 1}])
@pytest.mark.parametrize("classes", [1, 3])
def test_classes_without_names_are_numbered(read, suffixes, classes):
    config = read(Network(classes=classes), loader_parameters__target_suffix=suffixes)
    assert config.class_names == tuple(f"class_{number}" for number in range(classes))


@pytest.mark.parametrize("names", [["lesion-manual"], ["_a.nii.gz", "b"], [["_rater1", "rater2"]]])
def test_names_of_classes_stay_as_they_are_written(read, names):
    config = read(Network(classes=len(names)), loader_parameters__target_suffix=names)
    assert config.loader_parameters.target_suffix == tuple(
        name if isinstance(name, str) else tuple(name) for name in names
    )


@pytest.mark.parametrize("suffix", [None, "", "_seg"])
def test_the_region_of_a_crop_is_the_prior(read, suffix):
    config = read(
        transformation={"ROICrop2D": {"size": [32, 32]}}, loader_parameters__roi_params={"suffix": suffix}
    )
    assert config.loader_parameters.roi_params.suffix == ("_seg" if suffix == "_seg" else "_prior")


@pytest.mark.parametrize(
    ("changes", "contrasts"),
    [
        ({"loader_parameters__contrast_params": ...}, ("channel_0", "channel_1")),
        ({"loader_parameters__contrast_params": None}, ("channel_0", "channel_1")),
        ({"loader_parameters": ...}, ("channel_0", "channel_1")),
        ({"loader_parameters__contrast_params": {"training_validation": ["T1w", "T2w"]}}, ("T1w", "T2w")),
    ],
)
def test_the_network_knows_its_channels(read, changes, contrasts):
    config = read(Network(in_channel=2), **changes)
    assert config.in_channel == 2
    assert config.loader_parameters.contrast_params.training_validation == contrasts


def test_several_contrasts_of_a_network_of_one_channel_are_samples(read):
    config = read(loader_parameters__contrast_params={"training_validation": ["T1w", "T2w"]})
    assert config.in_channel == 1


def test_the_network_knows_its_dimensions(read):
    three = Network(is_2d=False)
    windows = {"length_3D": [32, 32, 16], "stride_3D": [16, 16, 8]}
    transformation = {"CenterCrop": {"size": [64, 64, 32]}}
    for place in ("default_model", "Modified3DUNet", "UNet3D"):
        config = read(three, **{place: windows}, transformation=transformation)
        assert not config.is_2d
        assert (config.length, config.stride) == ((32, 32, 16), (16, 16, 8))
        assert config.transforms_for("testing")["CenterCrop"]["size"] == [64, 64, 32]
    with pytest.raises(ConfigError, match=r"length_3D: is missing, and the network is 3D"):
        read(three, transformation=transformation)


def test_film_of_the_3d_network(read):
    config = read(
        Network(is_2d=False),
        FiLMedUnet={"applied": True, "metadata": "mri_params", "film_layers": [0, 1] * 5},
        UNet3D={"applied": True, "length_3D": [32, 32, 32]},
        transformation={},
    )
    assert config.architecture_name == "Modified3DUNet"
    assert config.metadata_type == "mri_params"


@pytest.mark.parametrize(
    "changes",
    [
        {"postprocessing": ..., "testing_parameters": {"binarize_prediction": True}},
        {"postprocessing": None, "testing_parameters": {"binarize_prediction": 0.0}},
        {"postprocessing": {"binarize_prediction": {"thr": 0.0}}},
        {"postprocessing": {"binarize_prediction": {"thr": -1}}},
    ],
)
def test_published_models_without_a_threshold_are_soft(read, changes):
    assert read(**changes).postprocessing.binarize_prediction is None


@pytest.mark.parametrize(
    ("text", "message"),
    [("[]", "holds a list"), ("{", "is not valid JSON"), ("\ud800", "cannot be read")],
)
def test_what_is_no_json_object_is_named(tmp_path, text, message):
    path = tmp_path / "seg.json"
    path.write_bytes(text.encode(errors="surrogatepass"))
    with pytest.raises(ConfigError, match=message):
        load_packaged(path, Network())


def test_the_last_of_two_equal_keys_counts(tmp_path):
    path = tmp_path / "seg.json"
    path.write_text('{"debugging": true, "debugging": false, "loader_parameters": {"slice_axis": "coronal"}}')
    assert load_packaged(path, Network()).slice_axis_index == 1


WORDS = st.sampled_from(
    [*PACKAGED, "applied", "name", "method", "gpu", "film_layers", "is_2d", "size", "thr", "depth"]
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 300)
    | st.floats(-1, 2)
    | st.sampled_from(["", "Unet", "FiLMedUnet"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_any_json_gives_a_configuration_or_a_line(tmp_path, data):
    content = deepcopy(PACKAGED)
    for _ in range(data.draw(st.integers(1, 4))):
        node, depth = content, data.draw(st.integers(0, 2))
        for _ in range(depth):
            below = [key for key, value in node.items() if isinstance(value, dict)]
            if not below:
                break
            node = node[data.draw(st.sampled_from(below))]
        key = data.draw(st.sampled_from([*node, "FiLMedUnet", "Modified3DUNet", "split_dataset"]) | WORDS)
        node[key] = data.draw(JSON)
    write_json(tmp_path / "seg.json", content)
    with suppress(ConfigError):
        config = load_packaged(tmp_path / "seg.json", Network())
        assert config.is_2d
        assert len(config.class_names) > 0
