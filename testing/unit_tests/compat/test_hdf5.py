"""HDF5 data sets: round trips, missing contrasts, tables."""

import json
import pickle
from dataclasses import asdict
from pathlib import Path

import h5py
import nibabel as nib
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from ivadomed.errors import ConfigError, DataError
from ivadomed.loader.adaptative import Bids_to_hdf5, Dataframe, HDF5_to_Bids, HDF5Dataset
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.slice_filter import SliceFilter
from ivadomed.loader.slices import SliceRule, SliceStatistics
from ivadomed.transforms import Compose, prepare_transforms

CONTRASTS = ["T1w", "T2w"]
SHAPE = (9, 7, 5)
AFFINE = np.array([[0, -1.5, 0, 3], [-1, 0, 0, 4], [0, 0, 2, -5], [0, 0, 0, 1.0]])  # not in RAS order


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """sub-01, sub-02: T1w and T2w, label beside T2w; sub-03: T1w with label; sub-04: no label."""
    root = tmp_path_factory.mktemp("bids")
    rng = np.random.default_rng(0)

    def save(path: Path, array: np.ndarray) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        nib.save(nib.Nifti1Image(array, AFFINE), path)

    def label(subject: str, contrast: str) -> None:
        folder = root / "derivatives" / "labels" / subject / "anat"
        for suffix in ("_seg-manual", "_lesion-manual"):
            mask = np.zeros(SHAPE, np.uint8)
            mask[3:6, 2:5, 1:4] = rng.integers(0, 2, (3, 3, 3))
            save(folder / f"{subject}_{contrast}{suffix}.nii.gz", mask)

    (root / "dataset_description.json").write_text(json.dumps({"Name": "x", "BIDSVersion": "1.9.0"}))
    for subject in ("sub-01", "sub-02", "sub-03", "sub-04"):
        for contrast in CONTRASTS if subject != "sub-03" else ["T1w"]:
            image = rng.random(SHAPE).astype(np.float32) + 1
            image[..., 0] = 0
            save(root / subject / "anat" / f"{subject}_{contrast}.nii.gz", image)
            (root / subject / "anat" / f"{subject}_{contrast}.json").write_text('{"EchoTime": 0.1}')
    label("sub-01", "T2w")
    label("sub-02", "T2w")
    label("sub-03", "T1w")
    return root


SUBJECTS = ["sub-01", "sub-02", "sub-03", "sub-04"]


def convert(data, path, **options) -> Path:
    Bids_to_hdf5(data, SUBJECTS, options.pop("target_suffix", ["_seg-manual"]), CONTRASTS, path, **options)
    return path


@pytest.fixture(scope="module")
def file(data, tmp_path_factory) -> Path:
    return convert(data, tmp_path_factory.mktemp("hdf5") / "x.hdf5", slice_filter_fn=SliceRule())


def dataset(file, **options):
    params = {"path_hdf5": file, **options.pop("model_params", {})}
    contrasts = {"contrast_lst": options.pop("contrasts", CONTRASTS)}
    return HDF5Dataset("", options.pop("subjects", SUBJECTS), params, ["_seg-manual"], contrasts, **options)


def canonical(path: Path) -> np.ndarray:
    return nib.as_closest_canonical(nib.load(path)).get_fdata()


def test_layout(data, file):
    with h5py.File(file) as opened:
        assert list(opened.attrs["patients_id"]) == ["sub-01", "sub-02", "sub-03"]
        assert dict(opened.attrs["slice_filter_fn"]) == {
            f"filter_{name}": str(value) for name, value in asdict(SliceRule()).items()
        }
        assert list(opened["sub-01"].attrs["contrast"]) == CONTRASTS
        assert list(opened["sub-01"].attrs["slices"]) == [1, 2, 3, 4]
        assert list(opened["sub-01/gt"]) == ["T2w"]
        assert list(opened["sub-03/inputs"].attrs["contrast"]) == ["T1w"]
        stored = opened["sub-01/inputs/T1w"]
        expected = canonical(data / "sub-01" / "anat" / "sub-01_T1w.nii.gz")
        np.testing.assert_array_equal(stored, np.moveaxis(expected, -1, 0))
        assert stored.attrs["zooms"].tolist() == [1.5, 1, 2]
        assert json.loads(stored.attrs["metadata"])["EchoTime"] == 0.1


def test_conversion_lists_files_and_takes_a_bids_dataframe(data, tmp_path):
    params = {
        "path_data": [str(data)],
        "target_suffix": ["_seg-manual"],
        "contrast_params": {"contrast_lst": CONTRASTS},
    }
    table = BidsDataframe(params, str(tmp_path), derivatives=True)
    made = Bids_to_hdf5(
        table, ["sub-02_T2w.nii.gz", "sub-03"], ["_seg-manual"], CONTRASTS, tmp_path / "y.hdf5"
    )
    label = data / "derivatives" / "labels" / "sub-02" / "anat" / "sub-02_T2w_seg-manual.nii.gz"
    assert made.filename_pairs[0][:3] == (
        [str(data / "sub-02" / "anat" / "sub-02_T2w.nii.gz")],
        [str(label)],
        None,
    )
    assert list(made.hdf5_file) == ["sub-02", "sub-03"]
    made.hdf5_file.close()


def test_round_trip(data, tmp_path):
    path = convert(data, tmp_path / "z.hdf5", target_suffix=["_seg-manual", "_lesion-manual"], slice_axis=0)
    out = tmp_path / "out"
    HDF5_to_Bids(path, ["sub-01", "sub-03"], out)
    written = sorted(out.rglob("*.nii.gz"))
    assert len(written) == 3 + 4
    for new in written:
        before, after = nib.load(data / new.relative_to(out)), nib.load(new)
        np.testing.assert_array_equal(after.get_fdata(), before.get_fdata())
        np.testing.assert_allclose(after.affine, before.affine)
        assert after.get_data_dtype() == before.get_data_dtype()
    with pytest.raises(DataError, match="sub-09"):
        HDF5_to_Bids(path, ["sub-09"], out)
    with pytest.raises(DataError, match="readable"):
        HDF5_to_Bids(tmp_path / "none.hdf5", ["sub-01"], out)


def test_export_of_resampled_arrays_keeps_the_voxel_size(data, tmp_path):
    path = convert(data, tmp_path / "r.hdf5", transform={"Resample": {"hspace": 0.75, "wspace": 1}})
    HDF5_to_Bids(path, ["sub-03"], tmp_path / "out")
    image = nib.load(tmp_path / "out" / "sub-03" / "anat" / "sub-03_T1w.nii.gz")
    assert image.shape == (14, 9, 5)
    np.testing.assert_allclose(image.header.get_zooms(), (0.75, 1, 2))


def test_items(data, file):
    samples = dataset(file, slice_filter_fn=SliceRule())
    assert len(samples) == 8  # two complete subjects, the first slice is empty
    item = samples[1]
    truth = canonical(data / "derivatives" / "labels" / "sub-01" / "anat" / "sub-01_T2w_seg-manual.nii.gz")
    for channel, contrast in zip(item["input"], CONTRASTS, strict=True):
        expected = canonical(data / "sub-01" / "anat" / f"sub-01_{contrast}.nii.gz")[..., 2]
        np.testing.assert_array_equal(channel, expected)
    np.testing.assert_array_equal(item["gt"], truth[None, ..., 2])
    assert item["gt"].dtype == torch.uint8
    assert item["roi"] is None
    assert item["roi_metadata"] == []
    first, second = item["input_metadata"]
    assert (first["contrast"], second["contrast"]) == ("T1w", "T2w")
    assert (first["EchoTime"], first["slice_index"], first["missing_mod"]) == (0.1, 2, [1, 1])
    assert item["gt_metadata"][0]["gt_filenames"][0].endswith("sub-01_T2w_seg-manual.nii.gz")


def test_an_absent_contrast_is_a_channel_of_zeros(file):
    samples = dataset(file, complet=False, subjects=["sub-03"])
    assert len(samples) == 5
    item = samples[3]
    assert item["input"][0].min() >= 1
    assert not item["input"][1].any()
    assert [record["missing_mod"] for record in item["input_metadata"]] == [[1, 0], [1, 0]]
    samples.update(p=1.0)  # the only one it has stays
    assert samples.cst_matrix.tolist() == [[1, 0]] * 5


def test_volumes_and_several_classes_and_roi(data, tmp_path):
    samples = HDF5Dataset(
        data,
        ["sub-01", "sub-02"],
        {"path_hdf5": tmp_path / "v.hdf5", "ram": False},
        ["_seg-manual", "_lesion-manual"],
        {"contrast_lst": CONTRASTS},
        transform={"Resample": {"hspace": 1, "wspace": 1, "dspace": 1}, "CenterCrop": {"size": [8, 6, 10]}},
        roi_suffix="_seg-manual",
        dim=3,
    )
    item = samples[1]
    assert len(samples) == 2
    assert item["input"].shape == (2, 8, 6, 10)
    assert item["gt"].shape == (2, 8, 6, 10)
    assert item["roi"].shape == (1, 8, 6, 10)
    assert item["input_metadata"][0]["zooms"] == (1, 1, 1)


@pytest.mark.parametrize("transform", [{}, {"Resample": {"hspace": 1, "wspace": 1}}])
def test_the_region_of_interest_goes_through_the_steps_of_its_slices(data, tmp_path, transform):
    path = convert(data, tmp_path / "roi.hdf5", roi_suffix="_seg-manual", transform=transform)
    with h5py.File(path) as made:
        roi, label = made["sub-01/roi/T2w"], made["sub-01/gt/T2w"]
        assert roi.attrs["roi_filename"][0].endswith("sub-01_T2w_seg-manual.nii.gz")
        np.testing.assert_allclose(roi, label, atol=1e-6)
        assert "T1w" not in made["sub-01/roi"]


@pytest.mark.parametrize("p", [0.0, 0.25, 0.7, 1.0])
def test_missing_contrasts_follow_p(file, p):
    samples = dataset(file)
    samples.df_object.df = samples.df_object.df.sample(4000, replace=True, random_state=0, ignore_index=True)
    samples.update("Missing", p)
    given = samples.cst_matrix
    assert (given.sum(axis=1) >= 1).all()
    # Both are withheld with p**2; then one of them, with equal chances, is given back.
    np.testing.assert_allclose(1 - given.mean(axis=0), p - p**2 / 2, atol=0.03)


def test_missing_contrasts_are_seeded_and_change_with_each_update(file):
    one, two, other = dataset(file, seed=1), dataset(file, seed=1), dataset(file, seed=2)
    for samples in (one, two, other):
        samples.update(p=0.5)
    assert (one.cst_matrix == two.cst_matrix).all()
    assert (one.cst_matrix != other.cst_matrix).any()
    before = one.cst_matrix
    one.update(p=0.5)
    assert (one.cst_matrix != before).any()


def test_a_withheld_contrast_stays_zero_after_random_steps(file):
    samples = dataset(file, transform={"RandomShiftIntensity": {"shift_range": [5, 6], "prob": 1}})
    samples.update(p=1.0)
    item = samples[0]
    given = item["input_metadata"][0]["missing_mod"]
    assert sum(given) == 1
    assert [bool(channel.any()) for channel in item["input"]] == [bool(g) for g in given]


@pytest.mark.parametrize(("strategy", "p"), [("Active", 0.1), ("Missing", 1.5)])
def test_wrong_updates_are_refused(file, strategy, p):
    with pytest.raises(ConfigError):
        dataset(file).update(strategy, p)


def test_random_steps_depend_on_seed_epoch_and_index_only(file):
    noise = {"AdditiveGaussianNoise": {"mean": 0, "std": 1}}
    samples, again = dataset(file, transform=noise), dataset(file, transform=Compose(noise))
    again[4]
    torch.testing.assert_close(samples[2]["input"], again[2]["input"])
    assert not torch.equal(samples[(1, 2)]["input"], samples[2]["input"])
    samples.set_transform(None)
    torch.testing.assert_close(samples[2]["input"], dataset(file)[2]["input"])


def test_memory_and_file_give_the_same(file):
    memory, disk = dataset(file), dataset(file, model_params={"ram": False})
    for index in (0, 5, 9):
        torch.testing.assert_close(memory[index]["input"], disk[index]["input"])
        torch.testing.assert_close(memory[index]["gt"], disk[index]["gt"])
    part = dataset(file, model_params={"ram": False})
    part.load_into_ram(["T2w"])
    assert sorted(part._ram) == ["sub-01/gt/T2w", "sub-01/inputs/T2w", "sub-02/gt/T2w", "sub-02/inputs/T2w"]


def test_workers_open_the_file_themselves(file):
    samples = dataset(file, model_params={"ram": False})
    expected = samples[3]["input"]
    torch.testing.assert_close(pickle.loads(pickle.dumps(samples))[3]["input"], expected)
    loader = DataLoader(samples, batch_size=None, num_workers=1, sampler=[3])
    torch.testing.assert_close(next(iter(loader))["input"], expected)


def test_documented_forms_of_transforms_agree(data, tmp_path):
    config = {"Resample": {"hspace": 1, "wspace": 1}, "CenterCrop": {"size": [6, 6]}}
    forms = [config, Compose(config), prepare_transforms(config)[0]]
    arrays = []
    for i, form in enumerate(forms):
        with h5py.File(convert(data, tmp_path / f"{i}.hdf5", transform=form)) as made:
            arrays.append(made["sub-01/gt/T2w"][()])
    assert arrays[0].shape == (5, 6, 6)
    np.testing.assert_array_equal(arrays[0], arrays[1])
    np.testing.assert_array_equal(arrays[0], arrays[2])


def test_crop_to_boxes(data, tmp_path):
    params = {"path_output": tmp_path, "object_detection_path": "model"}
    with pytest.raises(ConfigError, match="bounding_boxes.json does not exist"):  # noqa: RUF043
        convert(data, tmp_path / "b.hdf5", object_detection_params=params)
    images = (data / s / "anat" / f"{s}_{c}.nii.gz" for s in SUBJECTS[:3] for c in CONTRASTS)
    boxes = {str(image): [[2, 4, 1, 6, 0, 2]] for image in images}
    (tmp_path / "bounding_boxes.json").write_text(json.dumps(boxes))
    with h5py.File(convert(data, tmp_path / "b.hdf5", object_detection_params=params)) as made:
        expected = canonical(data / "sub-01" / "anat" / "sub-01_T1w.nii.gz")[2:5, 1:7]
        np.testing.assert_array_equal(made["sub-01/inputs/T1w"], np.moveaxis(expected, -1, 0))
    resample = {"Resample": {"hspace": 0.75, "wspace": 1, "dspace": 2}}
    path = convert(data, tmp_path / "c.hdf5", object_detection_params=params, transform=resample, dim=3)
    with h5py.File(path) as made:
        assert made["sub-01/inputs/T1w"].shape == (3, 6, 6)  # depth, 2 x height, width
    (tmp_path / "bounding_boxes.json").write_text("{}")
    with pytest.raises(DataError, match="no box"):
        convert(data, tmp_path / "d.hdf5", object_detection_params=params)
    assert not (tmp_path / "d.hdf5").exists()


def test_no_labels_is_an_error(data, tmp_path):
    with pytest.raises(DataError, match="label"):
        Bids_to_hdf5(data, ["sub-04"], ["_seg-manual"], CONTRASTS, tmp_path / "n.hdf5")


def test_contrasts_of_different_shape_are_refused(file, tmp_path):
    other = tmp_path / "w.hdf5"
    other.write_bytes(file.read_bytes())
    with h5py.File(other, "a") as opened:
        attributes = dict(opened["sub-01/inputs/T2w"].attrs)
        del opened["sub-01/inputs/T2w"]
        opened["sub-01/inputs/T2w"] = np.zeros((5, 3, 3), np.float32)
        opened["sub-01/inputs/T2w"].attrs.update(attributes)
    with pytest.raises(DataError, match="shapes"):
        dataset(other)[0]


@pytest.fixture
def table(file):
    with h5py.File(file) as opened:
        yield Dataframe(opened, CONTRASTS, None, ["_seg-manual"], dim=2)


def test_table(table):
    assert list(table.df) == ["Subjects", "T1w", "T2w", "gt/T1w", "gt/T2w", "Slices"]
    assert len(table.df) == 15
    assert table.df.iloc[0].tolist() == [
        "sub-01",
        "sub-01/inputs/T1w",
        "sub-01/inputs/T2w",
        None,
        "sub-01/gt/T2w",
        0,
    ]
    table.clean(["T1w"])
    assert len(table.df) == 15
    table.clean(CONTRASTS)
    assert len(table.df) == 10
    assert table.df.index.tolist() == list(range(10))


def test_table_shuffles_every_row_once(table):
    before = table.df
    table.shuffle(seed=3)
    assert table.df["Slices"].tolist() != before["Slices"].tolist()
    back = table.df.sort_values(["Subjects", "Slices"], ignore_index=True)
    assert back.equals(before)


def test_table_survives_csv(table, file, tmp_path):
    table.shuffle(seed=0)
    table.save(tmp_path / "t.csv")
    with h5py.File(file) as opened:
        again = Dataframe(opened, CONTRASTS, tmp_path / "t.csv", ["_seg-manual"])
        assert again.df.to_dict() == table.df.to_dict()
        samples = dataset(file, model_params={"csv_path": tmp_path / "t.csv"}, complet=False)
        assert samples.df_object.df["Slices"].tolist() == table.df["Slices"].tolist()
        with pytest.raises(DataError, match="roi/T1w"):
            Dataframe(opened, CONTRASTS, tmp_path / "t.csv", ["_seg-manual"], "_roi")
        with pytest.raises(DataError, match="no sample"):
            Dataframe(opened, ["PDw"], None)


def test_a_file_without_the_subjects_or_of_another_kind_is_refused(file, tmp_path):
    with pytest.raises(DataError, match="no sample"):
        dataset(file, subjects=["sub-77"])
    (tmp_path / "x.hdf5").write_text("no")
    with pytest.raises(DataError, match="readable HDF5"):
        dataset(tmp_path / "x.hdf5")
    with pytest.raises(ConfigError, match="path_hdf5"):
        HDF5Dataset("", SUBJECTS, {}, ["_seg-manual"], {"contrast_lst": CONTRASTS})


@pytest.mark.real_data
def test_file_of_2_9_10(real_data):
    contrasts = ["T1w", "T2w", "T2star"]
    samples = HDF5Dataset(
        "",
        ["sub-unf01"],
        {"path_hdf5": real_data / "data_testing" / "mytestfile.hdf5"},
        ["_lesion-manual"],
        {"contrast_lst": contrasts},
        slice_filter_fn=SliceRule(),
        roi_suffix="_lesion-manual",
    )
    assert len(samples) == 14
    item = samples[13]
    assert item["input"].shape == (3, 48, 48)
    assert item["gt"].shape == item["roi"].shape == (1, 48, 48)
    assert item["input_metadata"][2]["contrast"] == "T2star"


@pytest.mark.parametrize("empty_mask", [False, True])
def test_documented_slice_filters(data, tmp_path, empty_mask):
    rule = SliceRule(empty_input=True, empty_mask=empty_mask)
    documented = SliceFilter(filter_empty_input=True, filter_empty_mask=empty_mask)
    chosen = []

    def own(sample):
        chosen.append([x.shape for x in sample["input"]])
        return rule.keeps(SliceStatistics.of_sample(sample), 0)

    kept = {}
    for name, choice in {"rule": rule, "filter": documented, "function": own}.items():
        converted = Bids_to_hdf5(
            data, SUBJECTS, ["_seg-manual"], CONTRASTS, tmp_path / f"{name}.hdf5", slice_filter_fn=choice
        )
        assert converted.slice_filter_fn is choice
        kept[name] = {k: v.attrs["slices"].tolist() for k, v in converted.hdf5_file.items()}
        samples = dataset(tmp_path / f"{name}.hdf5", slice_filter_fn=choice)
        assert samples.filter_slices is choice
        assert len(samples) == sum(len(slices) for k, slices in kept[name].items() if k != "sub-03")
    assert kept["filter"] == kept["rule"]
    # The first slice of all images is empty; an image without a label says nothing about empty ones.
    assert all(0 not in slices for slices in kept["rule"].values())
    assert {shape for shapes in chosen for shape in shapes} == {(SHAPE[1], SHAPE[0])}


def test_the_images_behind_a_file(file, data):
    samples = dataset(file, complet=False)
    cases = {case.subject: case for case in samples.cases}
    assert list(cases) == ["sub-01", "sub-02", "sub-03"]
    first = cases["sub-01"]
    assert [path.name for path in first.images] == ["sub-01_T1w.nii.gz", "sub-01_T2w.nii.gz"]
    assert first.targets[0][0].path == data / "derivatives/labels/sub-01/anat/sub-01_T2w_seg-manual.nii.gz"
    assert first.metadata["EchoTime"] == 0.1
    assert (first.present, cases["sub-03"].present) == ((True, True), (True, False))
    assert samples.recipe.slice_axis == samples.slice_axis == 2
