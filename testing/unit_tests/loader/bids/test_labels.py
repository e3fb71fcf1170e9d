"""Labels by the names that BIDS has for derivatives, and by the name of the image with a suffix behind it."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from bids.layout import parse_file_entities
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ivadomed.errors import DataError
from ivadomed.loader.bids.files import BidsFile
from ivadomed.loader.bids.index import scan
from ivadomed.loader.bids.label_names import label_name
from ivadomed.loader.bids.labels import Labels
from ivadomed.loader.bids_dataframe import BidsDataframe
from ivadomed.loader.cases.grouping import build_cases

ANAT = "sub-01/anat/sub-01"
WORD = st.text("abcXYZ019", min_size=1, max_size=5)


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / (name if "." in name.rpartition("/")[2] else f"{name}.nii.gz")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def labels_of(root: Path, suffix: str, contrasts=(), extra=()) -> dict[str, str | None]:
    """Per image, by what stands behind its subject, the path of its label below its data set."""
    files = [file for folder in (root, *extra) for file in scan(folder)]
    labels = Labels(files, contrasts)
    images = [
        file for file in files if not file.is_derivative and file.suffix not in ("mask", "dseg", "probseg")
    ]
    found = {image.stem.partition("_")[2]: labels.find(image, suffix) for image in images}
    return {name: label.relative.removesuffix(".nii.gz") if label else None for name, label in found.items()}


@pytest.mark.parametrize(
    ("label", "suffix"),
    [
        ("space-T1w_label-anterior_mask", "_label-anterior_mask"),
        ("space-T1w_label-anterior_mask", "_space-T1w_label-anterior_mask"),
        ("desc-manual_dseg", "_desc-manual_dseg"),
        ("label-lesion_probseg", "_label-lesion_probseg"),
        ("dseg", "_dseg"),
        ("T1w_desc-manual_dseg", "_desc-manual_dseg"),
        ("T1w_seg-manual", "_seg-manual"),
        ("desc-b_label-a_mask", "_label-a_desc-b_mask"),  # the order of entities says nothing
        ("space-MNI152_label-a_mask", "_space-MNI152_label-a_mask"),
    ],
)
@pytest.mark.parametrize(
    "folder",
    [
        "derivatives",
        "derivatives/manual",
        "derivatives/group/manual",
        "derivatives/pipeline/derivatives/manual",
        "derivatives/a/b/c/d",
    ],
)
def test_labels_of_derivatives_are_found_by_both_names(tmp_path, folder, label, suffix):
    write(tmp_path, f"{ANAT}_T1w", f"{folder}/{ANAT}_{label}")
    assert labels_of(tmp_path, suffix) == {"T1w": f"{folder}/{ANAT}_{label}"}


@pytest.mark.parametrize(
    ("label", "suffix"),
    [
        ("label-anterior_mask", "_label-posterior_mask"),
        ("label-anterior_mask", "_mask"),
        ("label-anterior_desc-b_mask", "_label-anterior_mask"),
        ("space-MNI152_label-a_mask", "_label-a_mask"),  # on a grid of its own
        ("space-T2w_label-a_mask", "_label-a_mask"),
        ("acq-hr_label-a_mask", "_label-a_mask"),  # of an image that is not there
        ("label-a_mask", "_label-a_dseg"),
        ("seg-manual", "_seg-manual"),  # no suffix of BIDS
        ("T1w", "_T1w"),
    ],
)
def test_no_other_file_is_taken(tmp_path, label, suffix):
    write(tmp_path, f"{ANAT}_T1w", f"derivatives/x/{ANAT}_{label}")
    assert labels_of(tmp_path, suffix) == {"T1w": None}


def test_space_names_the_contrast_whose_grid_the_label_has(tmp_path):
    write(tmp_path, f"{ANAT}_T1w", f"{ANAT}_T2w")
    write(tmp_path, *(f"derivatives/x/{ANAT}_space-{c}_label-a_mask" for c in ("T1w", "T2w")))
    path = f"derivatives/x/{ANAT}_space-{{}}_label-a_mask"
    assert labels_of(tmp_path, "_label-a_mask") == {"T1w": path.format("T1w"), "T2w": path.format("T2w")}
    assert labels_of(tmp_path, "_space-T1w_label-a_mask") == {"T1w": path.format("T1w"), "T2w": None}


def test_a_label_without_contrast_is_that_of_all_contrasts_and_said_to_be(tmp_path):
    write(tmp_path, f"{ANAT}_T1w", f"{ANAT}_T2w", f"derivatives/x/{ANAT}_dseg")
    assert labels_of(tmp_path, "_dseg") == dict.fromkeys(("T1w", "T2w"), f"derivatives/x/{ANAT}_dseg")
    [remark] = [
        line for line in dataframe(tmp_path, "_dseg", ["T1w", "T2w"]).remarks if "no contrast" in line
    ]
    assert f"{ANAT}_dseg.nii.gz for T1w and T2w: they must be correct for each; space-T1w" in remark
    assert not any("no contrast" in line for line in dataframe(tmp_path, "_dseg", ["T1w"]).remarks)


def dataframe(root: Path, suffix: str, contrasts: list[str]) -> BidsDataframe:
    params = {
        "path_data": [str(root)],
        "target_suffix": [suffix],
        "contrast_params": {"contrast_lst": contrasts},
    }
    return BidsDataframe(params, root, derivatives=True)


def test_two_files_that_fit_are_both_named(tmp_path):
    write(tmp_path, f"{ANAT}_T1w")
    write(tmp_path, f"derivatives/x/{ANAT}_T1w_dseg", f"derivatives/y/z/{ANAT}_space-T1w_dseg")
    message = (
        r"not unique, found .*x/.*_T1w_dseg.nii.gz and .*y/z/.*_space-T1w_dseg.nii.gz; remove all but one"
    )
    with pytest.raises(DataError, match=message):
        labels_of(tmp_path, "_dseg")
    assert labels_of(tmp_path, "_space-T1w_dseg")["T1w"] == f"derivatives/y/z/{ANAT}_space-T1w_dseg"


def test_two_names_of_one_file_are_one_label(tmp_path):
    write(tmp_path, f"{ANAT}_T1w", f"derivatives/version2/{ANAT}_label-a_mask")
    (tmp_path / "derivatives" / "latest").symlink_to("version2")
    assert labels_of(tmp_path, "_label-a_mask")["T1w"] == f"derivatives/latest/{ANAT}_label-a_mask"


def test_an_entity_may_be_missing_from_a_label_where_one_image_has_it(tmp_path):
    write(
        tmp_path, f"{ANAT}_acq-hr_run-1_T1w", f"{ANAT}_acq-hr_run-1_T2w", f"derivatives/x/{ANAT}_label-a_mask"
    )
    path = f"derivatives/x/{ANAT}_label-a_mask"
    assert labels_of(tmp_path, "_label-a_mask") == {"acq-hr_run-1_T1w": path, "acq-hr_run-1_T2w": path}


def test_it_is_an_error_where_several_images_differ_in_it(tmp_path):
    write(tmp_path, f"{ANAT}_run-1_T1w", f"{ANAT}_run-2_T1w", f"derivatives/x/{ANAT}_label-a_mask")
    with pytest.raises(
        DataError, match=r"label-a_mask.*does not say .* sub-01_run-1_T1w.nii.gz or sub-01_run-2_T1w"
    ):
        labels_of(tmp_path, "_label-a_mask", ["T1w"])
    # The configuration may say which one it is.
    found = labels_of(tmp_path, "_label-a_mask", ["run-1_T1w", "run-2_T1w"])
    assert found == dict.fromkeys(("run-1_T1w", "run-2_T1w"), f"derivatives/x/{ANAT}_label-a_mask")
    bids_df = dataframe(tmp_path, "_label-a_mask", ["run-02_T1w"])
    assert bids_df.get_subject_fnames() == ["sub-01_run-2_T1w.nii.gz"]
    assert bids_df.get_deriv_fnames() == ["sub-01_label-a_mask.nii.gz"]


def test_a_label_is_that_of_the_image_whose_entities_it_has(tmp_path):
    write(tmp_path, f"{ANAT}_T1w", f"{ANAT}_acq-ax_T2w", f"derivatives/x/{ANAT}_label-a_mask")
    path = f"derivatives/x/{ANAT}_label-a_mask"
    assert labels_of(tmp_path, "_label-a_mask") == {"T1w": path, "acq-ax_T2w": None}
    bids_df = dataframe(tmp_path, "_label-a_mask", ["T1w", "T2w"])
    [dropped] = bids_df.dropped
    assert "(sub-01_label-a_mask.nii.gz has no acq-ax: it is that of sub-01_T1w.nii.gz)" in dropped.reason
    # As a channel the other one needs none; named by its entity it takes that label, but one of its own before.
    assert labels_of(tmp_path, "_label-a_mask", ["T1w", "acq-ax_T2w"])["acq-ax_T2w"] == path
    write(tmp_path, f"derivatives/x/{ANAT}_acq-ax_label-a_mask")
    for contrasts in ((), ("T1w", "acq-ax_T2w")):
        own = labels_of(tmp_path, "_label-a_mask", contrasts)
        assert own == {"T1w": path, "acq-ax_T2w": f"derivatives/x/{ANAT}_acq-ax_label-a_mask"}


def test_sessions_and_kinds_of_data_have_labels_of_their_own(tmp_path):
    for session in ("1", "2"):
        write(tmp_path, f"sub-01/ses-{session}/anat/sub-01_ses-{session}_T1w")
        write(tmp_path, f"derivatives/x/sub-01/ses-{session}/anat/sub-01_label-a_mask")
    write(tmp_path, "sub-01/ses-1/func/sub-01_ses-1_task-rest_bold")
    assert labels_of(tmp_path, "_label-a_mask") == {
        "ses-1_T1w": "derivatives/x/sub-01/ses-1/anat/sub-01_label-a_mask",
        "ses-1_task-rest_bold": None,
        "ses-2_T1w": "derivatives/x/sub-01/ses-2/anat/sub-01_label-a_mask",
    }


def test_a_label_without_session_is_an_error_where_there_are_two(tmp_path):
    write(tmp_path, *(f"sub-01/ses-{s}/anat/sub-01_ses-{s}_T1w" for s in (1, 2)))
    write(tmp_path, f"derivatives/x/{ANAT}_label-a_mask")
    with pytest.raises(DataError, match=r"ses-1_T1w.nii.gz or sub-01_ses-2_T1w.nii.gz.*such as ses-1"):
        labels_of(tmp_path, "_label-a_mask")


def test_the_folder_of_the_subject_counts(tmp_path):
    write(tmp_path, f"{ANAT}_T1w", "sub-02/anat/sub-02_T1w", "derivatives/x/sub-02/anat/sub-01_label-a_mask")
    assert labels_of(tmp_path, "_label-a_mask") == {"T1w": None}


def test_a_data_set_of_derivatives_may_be_named_itself(tmp_path):
    raw, apart = tmp_path / "raw", tmp_path / "labels"
    write(raw, f"{ANAT}_T1w")
    write(apart, f"{ANAT}_space-T1w_label-a_mask")
    assert labels_of(raw, "_label-a_mask", extra=[apart]) == {"T1w": f"{ANAT}_space-T1w_label-a_mask"}
    params = {"path_data": [str(raw), str(apart)], "target_suffix": ["_label-a_mask"]}
    bids_df = BidsDataframe(
        params | {"contrast_params": {"contrast_lst": ["T1w"]}}, tmp_path, derivatives=True
    )
    [case] = build_cases(
        bids_df, bids_df.images, target_suffix=["_label-a_mask"], contrasts=["T1w"], multichannel=False
    ).cases
    assert case.targets[0][0].path == apart / f"{ANAT}_space-T1w_label-a_mask.nii.gz"
    assert not bids_df.dropped
    # Labels that lie beside their images, as in a data set of processed images.
    write(apart, f"{ANAT}_desc-preproc_T2w")
    assert labels_of(apart, "_space-T2w_label-b_mask") == {"desc-preproc_T2w": None}
    write(apart, f"{ANAT}_desc-preproc_label-b_mask")
    assert labels_of(apart, "_label-b_mask") == {"desc-preproc_T2w": f"{ANAT}_desc-preproc_label-b_mask"}
    assert labels_of(raw, "_label-a_mask", extra=[apart])["T1w"] is None  # it has an image of the subject now


def test_the_sources_of_derivatives_are_no_derivatives(tmp_path):
    write(tmp_path, f"{ANAT}_T1w", f"derivatives/x/{ANAT}_label-a_mask")
    write(tmp_path, f"derivatives/x/sourcedata/raw/derivatives/labels/{ANAT}_label-a_mask")
    assert labels_of(tmp_path, "_label-a_mask")["T1w"] == f"derivatives/x/{ANAT}_label-a_mask"


def test_suffixes_of_an_image(tmp_path):
    write(tmp_path, f"{ANAT}_T1w", f"{ANAT}_T2w", f"{ANAT}_acq-hr_T1w")
    names = ["T1w_seg-manual", "desc-x_dseg", "space-T1w_desc-x_dseg", "space-T1w_label-a_mask", "T1w_reg"]
    names += ["acq-hr_label-c_mask", "space-T2w_label-b_mask", "desc-preproc_T1w", "acq-hr_T1w_desc-y_dseg"]
    write(tmp_path, *(f"derivatives/x/{ANAT}_{name}" for name in names))
    index = scan(tmp_path)
    labels = Labels(index)
    images = {file.stem.partition("_")[2]: file for file in index if not file.is_derivative}
    shared = "_desc-x_dseg"
    assert labels.suffixes(images["T1w"]) == {
        "_seg-manual",
        "_label-a_mask",
        "_space-T1w_desc-x_dseg",
        "_reg",
    }
    assert labels.suffixes(images["T2w"]) == {shared, "_label-b_mask"}
    assert labels.suffixes(images["acq-hr_T1w"]) == {"_label-c_mask", "_desc-y_dseg"}
    for image in images.values():
        for suffix in labels.suffixes(image):
            assert labels.find(image, suffix) is not None


INDEX = st.integers(0, 30).flatmap(lambda n: st.integers(0, 3).map(lambda zeros: (n, "0" * zeros + str(n))))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.sampled_from(["run", "echo", "flip", "inv", "chunk"]),
    st.lists(INDEX, min_size=1, max_size=3, unique_by=lambda pair: pair[0]),
    st.data(),
)
def test_zeros_in_front_of_an_index_never_change_what_pairs(tmp_path_factory, key, indices, data):
    root = tmp_path_factory.mktemp("padded")
    written = {}
    for number, text in indices:
        other = "0" * data.draw(st.integers(0, 3)) + str(number)
        by_bids = data.draw(st.booleans())
        name = f"{key}-{other}_label-a_mask" if by_bids else f"{key}-{other}_T1w_label-a_mask"
        written[f"{key}-{text}_T1w"] = f"derivatives/x/{ANAT}_{name}"
        write(root, f"{ANAT}_{key}-{text}_T1w", written[f"{key}-{text}_T1w"])
    assert labels_of(root, "_label-a_mask") == written


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
@example(random.Random(0))
def test_the_order_of_files_does_not_matter(tmp_path, rng):
    write(tmp_path, f"{ANAT}_T1w", f"{ANAT}_run-1_T2w", f"{ANAT}_run-2_T2w")
    names = ["dseg", "space-T1w_label-a_mask", "run-01_label-a_mask", "T1w_seg", "run-2_label-a_mask"]
    write(tmp_path, *(f"derivatives/{i}/{ANAT}_{name}" for i, name in enumerate(names)))
    files = list(scan(tmp_path))
    expected = {file.name: Labels(files).suffixes(file) for file in files if not file.is_derivative}
    assert expected["sub-01_run-1_T2w.nii.gz"] == {"_label-a_mask"}
    rng.shuffle(files)
    assert {file.name: Labels(files).suffixes(file) for file in files if not file.is_derivative} == expected


@pytest.mark.parametrize("name", ["sample-{}_run-1_label-a_mask", "sample-{}_label-a_mask"])
def test_a_subject_with_a_hundreds_of_images_takes_no_longer_for_each(tmp_path, name):
    """A label lookup that looks at every label of the subject takes several seconds here."""
    write(tmp_path, *(f"sub-01/micr/sub-01_sample-{i}_run-1_SEM" for i in range(500)))
    write(tmp_path, *(f"derivatives/x/sub-01/micr/sub-01_{name.format(i)}" for i in range(500)))
    start = time.process_time()
    assert len(dataframe(tmp_path, "_label-a_mask", ["SEM"]).get_deriv_fnames()) == 500
    files = scan(tmp_path)
    labels = Labels(files)
    assert all(labels.suffixes(file) == {"_label-a_mask"} for file in files if not file.is_derivative)
    assert time.process_time() - start < 4


@settings(deadline=None)  # pybids reads its layouts on the first call
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "acq": WORD,
            "space": WORD,
            "label": WORD,
            "desc": WORD,
            "res": WORD,
        },
    ),
    st.sampled_from(["mask", "dseg", "probseg"]),
)
def test_names_of_labels_agree_with_pybids(entities, suffix):
    pairs = [f"{key}-{value}" for key, value in {"sub": "01", **entities}.items()]
    path = Path("/data/derivatives/x/sub-01/anat") / ("_".join([*pairs, suffix]) + ".nii.gz")
    expected = parse_file_entities(str(path), config=["bids", "derivatives"])
    for key in ("extension", "datatype", "fmap"):
        expected.pop(key, None)
    name = str(path.relative_to("/data"))
    file = BidsFile(path, Path("/data"), name, ("sub-01", ""), {}, "", ".nii.gz", "anat", is_derivative=True)
    found = label_name(file)
    assert found is not None
    assert {**found.entities, "suffix": found.suffix} == expected
