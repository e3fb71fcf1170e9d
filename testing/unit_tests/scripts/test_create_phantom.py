"""The data set that `ivadomed_create_phantom` writes."""

import json
import re

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from ivadomed.errors import ConfigError, OutputError
from ivadomed.scripts.create_phantom import create_phantom, get_parser, main

CONTRASTS = ("T1w", "T2w", "T2star")
SUFFIXES = (
    "seg-manual",
    "gmseg-manual",
    "csfseg-manual",
    "lesion-manual",
    "lesion-manual-rater1",
    "lesion-manual-rater2",
    "labels-disc-manual",
)


def load(root, subject, contrast, suffix=None, session=None):
    entities = [subject] if session is None else [subject, session]
    folder = root if suffix is None else root / "derivatives" / "labels"
    name = "_".join([*entities, contrast] + ([] if suffix is None else [suffix]))
    return nib.load(folder.joinpath(*entities, "anat", f"{name}.nii.gz"))


def voxels(*args, **kwargs):
    return np.asanyarray(load(*args, **kwargs).dataobj)


def contents(root):
    return {
        path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return create_phantom(tmp_path_factory.mktemp("phantom") / "data", 6, size="tiny", seed=0)


@pytest.fixture(scope="module")
def table(study):
    return pd.read_csv(study / "participants.tsv", sep="\t", keep_default_na=False)


def test_layout(study, table):
    assert table.columns.tolist() == ["participant_id", "sex", "age", "pathology", "institution_id"]
    assert table.participant_id.tolist() == [f"sub-{k:03d}" for k in range(1, 7)]
    assert table.institution_id.nunique() == 4
    assert set(json.loads((study / "participants.json").read_text())) == set(table.columns[1:])
    for path in ("dataset_description.json", "derivatives/dataset_description.json"):
        assert json.loads((study / path).read_text())["GeneratedBy"][0]["Name"] == "ivadomed_create_phantom"
    pattern = re.compile(r"sub-(\d{3})/anat/sub-\1_(T1w|T2w|T2star)\.(nii\.gz|json)")
    images = [path for path in contents(study) if path.startswith("sub-")]
    assert len(images) == 6 * 3 * 2
    assert all(pattern.fullmatch(path) for path in images)
    labels = [path for path in contents(study) if path.startswith("derivatives/labels")]
    assert len(labels) == 6 * 3 * len(SUFFIXES)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_labels_share_the_grid_of_the_image(study, contrast):
    for subject in ("sub-001", "sub-004"):
        image = load(study, subject, contrast)
        assert image.get_data_dtype() in (np.int16, np.float32)
        for suffix in SUFFIXES:
            label = load(study, subject, contrast, suffix)
            assert label.shape == image.shape
            np.testing.assert_array_equal(label.affine, image.affine)
            assert (label.header["qform_code"], label.header["sform_code"]) == (1, 1)
            np.testing.assert_allclose(label.get_qform(), label.get_sform(), atol=1e-4)


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_labels_nest(study, table, contrast):
    for subject in table.participant_id:
        cord, grey, csf, lesion, first, second, discs = (
            voxels(study, subject, contrast, suffix) for suffix in SUFFIXES
        )
        assert cord.any()
        assert grey.any()
        for inner in (grey, lesion, first, second):
            assert not (inner[cord == 0]).any()
        assert not (csf[cord > 0]).any()
        rim = ndimage.binary_dilation(cord > 0) & (cord == 0)
        assert (csf[rim] > 0).mean() > 0.9
        assert ndimage.label(cord, np.ones((3, 3, 3)))[1] == 1
        values = discs[discs > 0]
        assert len(values) == len(set(values)) >= 1
        assert values.min() >= 3
        assert values.max() <= 7


def test_lesions_follow_the_diagnosis(study, table):
    known = table[table.pathology != "n/a"]
    assert set(known.pathology) == {"HC", "MS"}
    for row in known.itertuples():
        for contrast in CONTRASTS:
            for suffix in ("lesion-manual", "lesion-manual-rater1", "lesion-manual-rater2"):
                assert voxels(study, row.participant_id, contrast, suffix).any() == (row.pathology == "MS")


def test_share_of_lesions(tmp_path):
    options = {"size": "tiny", "contrasts": ["T2w"], "shape": (24, 24, 5)}
    for share, expected in ((0.0, 0), (1.0, 3)):
        root = create_phantom(tmp_path / str(share), 3, lesions=share, **options)
        found = [voxels(root, f"sub-{k:03d}", "T2w", "lesion-manual").any() for k in (1, 2, 3)]
        assert sum(found) == expected


def test_contrast_relations(study, table):
    for subject in table.participant_id:
        mean = {}
        for contrast in CONTRASTS:
            image, cord, grey, csf, lesion = (
                voxels(study, subject, contrast, suffix).astype(float)
                for suffix in (None, "seg-manual", "gmseg-manual", "csfseg-manual", "lesion-manual")
            )
            white = (cord > 0) & (grey == 0) & (lesion == 0)
            inside = ndimage.binary_erosion(cord > 0, np.ones((3, 3, 3)), border_value=1)
            mean[contrast] = {
                "csf": image[csf > 0].mean(),
                "white": np.median(image[white & inside]),
                "lesion": image[lesion > 0].mean() if lesion.any() else None,
            }
        assert mean["T1w"]["csf"] < mean["T1w"]["white"]
        assert mean["T2w"]["csf"] > 1.5 * mean["T2w"]["white"]
        for contrast in ("T2w", "T2star"):
            if mean[contrast]["lesion"] is not None:
                assert mean[contrast]["lesion"] > 1.1 * mean[contrast]["white"]


def test_contrasts_differ_in_voxels_but_not_in_field_of_view(study):
    images = [load(study, "sub-001", contrast) for contrast in CONTRASTS]
    extents = []
    for image in images:
        closest = nib.as_closest_canonical(image)
        extents.append(np.array(closest.shape) * closest.header.get_zooms())
    np.testing.assert_allclose(extents, [[48, 48, 30]] * 3, rtol=1e-5)
    assert len({tuple(sorted(image.header.get_zooms())) for image in images}) == 3


def test_orientations_differ_and_are_oblique(study, table):
    images = [load(study, subject, "T2w") for subject in table.participant_id]
    assert len({nib.aff2axcodes(image.affine) for image in images}) >= 4
    assert all(nib.affines.obliquity(image.affine).max() > 1e-3 for image in images)


def test_cord_is_near_the_middle(study, table):
    for subject in table.participant_id:
        label = load(study, subject, "T2w", "seg-manual")
        middle = ndimage.center_of_mass(np.asanyarray(label.dataobj))
        offset = (np.array(middle) - (np.array(label.shape) - 1) / 2) * label.header.get_zooms()
        assert np.abs(offset).max() < 10


def test_sidecars_differ_among_institutions(study, table):
    sidecars = [
        json.loads((study / subject / "anat" / f"{subject}_T1w.json").read_text())
        for subject in table.participant_id[:4]
    ]
    for key in ("FlipAngle", "EchoTime", "RepetitionTime", "Manufacturer", "InstitutionName"):
        assert len({sidecar[key] for sidecar in sidecars}) >= 3, key
    assert {sidecar["MagneticFieldStrength"] for sidecar in sidecars} == {1.5, 3.0}
    assert all(0 < sidecar["EchoTime"] < sidecar["RepetitionTime"] < 1 for sidecar in sidecars)


def test_deterministic_whatever_the_processes_and_the_number_of_subjects(study, tmp_path):
    again = contents(create_phantom(tmp_path / "again", 2, size="tiny", seed=0, jobs=2))
    first = contents(study)
    for path, data in again.items():
        if "sub-" in path:
            assert first[path] == data, path
    other = contents(create_phantom(tmp_path / "other", 1, size="tiny", seed=1))
    assert other["sub-001/anat/sub-001_T2w.nii.gz"] != first["sub-001/anat/sub-001_T2w.nii.gz"]


def test_larger_table_begins_with_the_smaller(study, tmp_path):
    root = create_phantom(tmp_path / "two", 2, size="tiny", contrasts=["T1w"])
    assert (study / "participants.tsv").read_text().startswith((root / "participants.tsv").read_text())


def test_a_contrast_does_not_depend_on_the_others(study, tmp_path):
    root = create_phantom(tmp_path / "one", 1, size="tiny", contrasts=["T2star"])
    name = "sub-001/anat/sub-001_T2star.nii.gz"
    assert (root / name).read_bytes() == (study / name).read_bytes()


def test_sessions(tmp_path):
    root = create_phantom(tmp_path / "data", 1, size="tiny", sessions=2, lesions=1.0, contrasts=["T2w"])
    first, second = (load(root, "sub-001", "T2w", session=session) for session in ("ses-01", "ses-02"))
    assert not np.allclose(first.affine, second.affine)
    assert voxels(root, "sub-001", "T2w", "lesion-manual", session="ses-02").any()
    assert (root / "sub-001" / "sub-001_sessions.tsv").read_text().startswith("session_id\t")


def test_coregistered(tmp_path):
    root = create_phantom(tmp_path / "data", 1, size="tiny", coregistered=True)
    reference = load(root, "sub-001", "T2w")
    for contrast in CONTRASTS:
        image = load(root, "sub-001", contrast)
        assert image.shape == reference.shape
        np.testing.assert_array_equal(image.affine, reference.affine)
        np.testing.assert_array_equal(
            voxels(root, "sub-001", contrast, "seg-manual"), voxels(root, "sub-001", "T2w", "seg-manual")
        )


def test_shape(tmp_path):
    root = create_phantom(tmp_path / "data", 1, size="tiny", shape=(20, 24, 7), contrasts=["T1w"])
    assert nib.as_closest_canonical(load(root, "sub-001", "T1w")).shape == (20, 24, 7)


def test_refuses_to_overwrite(study):
    with pytest.raises(OutputError, match="not empty"):
        create_phantom(study, 1, size="tiny")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"n": 0}, "number of subjects"),
        ({"size": "huge"}, "tiny, small"),
        ({"shape": (5, 0, 5)}, "shape"),
        ({"contrasts": ["T1w", "FLAIR"]}, "FLAIR"),
        ({"sessions": 3}, "sessions"),
        ({"lesions": 1.5}, "lesions"),
        ({"seed": -1}, "seed"),
    ],
)
def test_refuses_impossible_options(tmp_path, options, named):
    with pytest.raises(ConfigError, match=named):
        create_phantom(tmp_path / "data", **options)
    assert list(tmp_path.iterdir()) == []


def test_command_line(tmp_path, capsys):
    out = tmp_path / "data"
    common = ["-o", str(out), "--size", "tiny", "--contrasts", "T2w"]
    main([*common, "-n", "1", "--microscopy", "1", "--microscopy-size", "64", "48"])
    assert (out / "sub-001" / "anat" / "sub-001_T2w.nii.gz").exists()
    assert (tmp_path / "data-microscopy" / "sub-rat1" / "micr" / "sub-rat1_sample-data1_SEM.png").exists()
    assert str(out) in capsys.readouterr().out
    assert main([*common, "-n", "1"]) == 1
    assert "not empty" in capsys.readouterr().err
    main(["-o", str(tmp_path / "only"), "--microscopy", "1", "--microscopy-size", "64", "48"])
    assert (tmp_path / "only" / "samples.tsv").exists()


def test_help_shows_an_example():
    assert "ivadomed_create_phantom -o data_phantom -n 12" in get_parser().format_help()
