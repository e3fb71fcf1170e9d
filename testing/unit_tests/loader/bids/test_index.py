"""The scanner against pybids, the name rules, sidecar inheritance."""

from __future__ import annotations

import errno
import json
import os
import random
import re
from pathlib import Path
from unittest import mock

import pytest
from bids.layout import parse_file_entities
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.config import CONFIG_DIR
from ivadomed.errors import ConfigError, DataError
from ivadomed.loader.bids import index as bids_index
from ivadomed.loader.bids.index import scan
from ivadomed.loader.bids.labels import Labels
from ivadomed.loader.bids.names import (
    ENTITY_NAMES,
    INDICES,
    NameFault,
    NameRules,
    comparable,
    load_rules,
    without_padding,
)

LABEL = st.text("abcXYZ019", min_size=1, max_size=5)
INDEX = st.text("0123456789", min_size=1, max_size=3)
VALUES = {
    "sample": LABEL,
    "task": LABEL,
    "acq": LABEL,
    "ce": LABEL,
    "stain": LABEL,
    "rec": LABEL,
    "dir": LABEL,
    "run": INDEX,
    "mod": LABEL,
    "echo": INDEX,
    "flip": INDEX,
    "inv": INDEX,
    "mt": st.sampled_from(["on", "off"]),
    "part": st.sampled_from(["imag", "mag", "phase", "real"]),
    "chunk": INDEX,
    "desc": LABEL,
}


def write(root: Path, *names: str, text: str = "") -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@st.composite
def valid_paths(draw: st.DrawFn) -> str:
    subject, session = draw(LABEL), draw(st.none() | LABEL)
    keys = draw(st.lists(st.sampled_from(sorted(VALUES)), unique=True, max_size=6))
    folders = [f"sub-{subject}"] + ([f"ses-{session}"] if session else [])
    pairs = folders + [f"{key}-{draw(VALUES[key])}" for key in keys]
    suffix = draw(st.sampled_from(["T1w", "T2star", "SEM", "bold", "ct"]))
    extension = draw(st.sampled_from([".nii", ".nii.gz", ".png", ".ome.tif"]))
    return "/" + "/".join([*folders, "anat", "_".join([*pairs, suffix]) + extension])


@settings(deadline=None)  # pybids reads its layouts on the first call
@given(valid_paths())
def test_entities_agree_with_pybids(path):
    expected = {key: str(value) for key, value in parse_file_entities(path).items() if key != "fmap"}
    parsed = NameRules().parse(path.rpartition("/")[2])
    found = {**parsed.entities, "suffix": parsed.suffix, "extension": parsed.extension, "datatype": "anat"}
    assert found == expected


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("sub-01_seg-manual.nii.gz", "not a suffix"),
        ("sub-01__T1w.nii.gz", "key-value"),
        ("sub-01_acq-_T1w.nii.gz", "key-value"),
        ("sub-01_T1w_acq-sup_reg.nii.gz", "entities come before the contrast"),
        ("sub-01_run-1_run-2_T1w.nii.gz", "twice"),
        ("sub-01_run-a_T1w.nii.gz", "not a value"),
        ("sub-01_aqc-a_T1w.nii.gz", 'did you mean "acq"'),
    ],
)
def test_broken_names_are_refused_with_a_reason(name, reason):
    with pytest.raises(NameFault, match=reason):
        NameRules().parse(name)


@given(valid_paths())
def test_names_written_from_entities_are_parsed_back(path):
    name = path.rpartition("/")[2]
    parsed = NameRules().parse(name)
    keys = {long: short for short, long in ENTITY_NAMES.items()}
    pairs = [f"{keys[entity]}-{value}" for entity, value in parsed.entities.items()]
    assert "_".join([*pairs, parsed.suffix]) + parsed.extension == name


@given(valid_paths(), st.integers(1, 3))
def test_padded_names_are_the_same_to_compare(path, zeros):
    name = path.rpartition("/")[2]
    padded = re.sub(r"_(run|echo|flip|inv|chunk)-(?=\d)", lambda found: found.group() + "0" * zeros, name)
    assert without_padding(padded) == without_padding(name)
    rules = NameRules()
    expected = comparable(rules.parse(name).entities)
    assert comparable(rules.parse(padded).entities) == expected
    assert comparable(rules.parse(without_padding(name)).entities) == expected
    # pybids has numbers for them as well.
    numbers = {key: str(int(value)) for key, value in expected.items() if key in INDICES}
    assert numbers.items() <= expected.items()


@pytest.mark.parametrize(
    "name", ["sub-001_acq-007_T1w", "sub-1_run-01a_T1w", "rerun-01_T1w", "sub-1_run-0_T1w"]
)
def test_other_values_keep_their_zeros(name):
    assert without_padding(name) == name


def test_scan_finds_images_and_derivatives_of_all_levels(tmp_path):
    names = [
        "derivatives/labels/sub-01/anat/sub-01_T1w_seg-manual.nii.gz",
        "derivatives/labels/sub-02/ses-1/anat/sub-02_ses-1_T2w_seg-manual.nii.gz",
        "sub-01/anat/sub-01_T1w.nii.gz",
        "sub-02/ses-1/anat/sub-02_ses-1_acq-sup_T2w.nii.gz",
    ]
    write(
        tmp_path, *names, "sub-01/anat/sub-01_T1w.png", "code/sub-01_T1w.nii.gz", "sub-01/anat/.hidden.nii.gz"
    )
    index = scan(tmp_path)
    assert [file.relative for file in index] == names
    assert [file.is_derivative for file in index] == [True, True, False, False]
    assert index[3].entities == {"subject": "02", "session": "1", "acquisition": "sup"}
    assert (index[3].stem, index[3].suffix, index[3].datatype) == ("sub-02_ses-1_acq-sup_T2w", "T2w", "anat")
    assert index[1].folders == ("sub-02", "ses-1")
    assert not index.skipped


def test_rule_breakers_are_skipped_with_a_reason(tmp_path):
    write(
        tmp_path,
        "sub-01/anat/sub-02_T1w.nii.gz",
        "sub-01/anat/sub-01_ses-1_T1w.nii.gz",
        "sub-01/backup/sub-01_T1w.nii.gz",
        "sub-01/sub-01_T1w.nii.gz",
        "sub-01/anat/sub-01_T1w.old.nii.gz",
    )
    (tmp_path / "sub-01/anat/sub-01_T2w.nii.gz").symlink_to(tmp_path / "absent")
    index = scan(tmp_path)
    reasons = {item.file.removeprefix(f"{tmp_path}/"): item.reason for item in index.skipped}
    assert len(index) == 0
    assert "subject of its folder, sub-01" in reasons["sub-01/anat/sub-02_T1w.nii.gz"]
    assert "session" in reasons["sub-01/anat/sub-01_ses-1_T1w.nii.gz"]
    assert '"backup" is not a data type folder' in reasons["sub-01/backup/sub-01_T1w.nii.gz"]
    assert "not in a data type folder" in reasons["sub-01/sub-01_T1w.nii.gz"]
    assert ".old.nii.gz" in reasons["sub-01/anat/sub-01_T1w.old.nii.gz"]
    assert "datalad get" in reasons["sub-01/anat/sub-01_T2w.nii.gz"]


def test_without_validation_unknown_entities_and_folders_are_taken(tmp_path):
    write(tmp_path, "sub-01/scans/sub-01_color-red_T1w.nii.gz", "sub-02/anat/sub-02_ses-7_T1w.nii.gz")
    first, second = scan(tmp_path, validate=False)
    assert first.entities == {"subject": "01", "color": "red"}
    assert second.entities == {"subject": "02", "session": "7"}


def test_custom_layout_adds_entities_and_suffixes(tmp_path):
    config = tmp_path / "config.json"
    entities = [
        {"name": "region", "pattern": "[_/]+region-([a-z]+)"},
        {"name": "suffix", "pattern": r"_(T1w-custom|T1w)\.[^/]+$"},
    ]
    config.write_text(json.dumps({"name": "mine", "entities": entities}))
    data = tmp_path / "data"
    write(data, "sub-1/anat/sub-1_region-neck_T1w-custom.nii", "sub-1/anat/sub-1_T1w.nii")
    assert len(scan(data).skipped) == 1
    plain, custom = sorted(scan(data, bids_config=config), key=lambda file: len(file.name))
    assert custom.entities == {"subject": "1", "region": "neck"}
    assert (custom.suffix, plain.suffix) == ("T1w-custom", "T1w")


@pytest.mark.parametrize("text", ["{", "[]", '{"entities": [{"name": "x", "pattern": "a"}]}'])
def test_a_damaged_layout_is_named(tmp_path, text):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(ConfigError, match=r"c\.json"):
        scan(tmp_path, bids_config=tmp_path / "c.json")


def test_sidecars_are_inherited(tmp_path):
    write(tmp_path, "sub-png/micr/sub-png_sample-a_SEM.png", "sub-png/micr/sub-png_sample-b_run-1_SEM.png")
    write(tmp_path, "SEM.json", text='{"Level": "root", "Root": 1}')
    write(tmp_path, "sub-png/micr/sub-png_SEM.json", text='{"Level": "subject", "Subject": 2}')
    write(tmp_path, "sub-png/micr/sub-png_sample-b_SEM.json", text='{"Level": "sample"}')
    write(tmp_path, "sub-png/micr/sub-png_TEM.json", text='{"Level": "other"}')
    index = scan(tmp_path, [".png"])
    assert index.metadata(index[0]) == {"Level": "subject", "Root": 1, "Subject": 2}
    assert index.metadata(index[1]) == {"Level": "sample", "Root": 1, "Subject": 2}


def test_sidecars_are_read_once_and_on_demand(tmp_path):
    write(tmp_path, "sub-1/anat/sub-1_T1w.nii", "sub-1/anat/sub-1_run-1_T1w.nii")
    write(tmp_path, "sub-1/anat/sub-1_T1w.json", text='{"EchoTime": 0.1}')
    index = scan(tmp_path)
    with mock.patch.object(Path, "read_bytes", autospec=True, side_effect=Path.read_bytes) as read:
        assert index.metadata(index[0]) == index.metadata(index[1]) == {"EchoTime": 0.1}
    assert read.call_count == 1


@pytest.mark.parametrize("text", ["{", '["list"]', "\x00", "/annex/objects/MD5E-s4--00.json\n"])
def test_a_damaged_sidecar_is_named(tmp_path, text):
    write(tmp_path, "sub-1/anat/sub-1_T1w.nii")
    write(tmp_path, "sub-1/anat/sub-1_T1w.json", text=text)
    index = scan(tmp_path)
    with pytest.raises(DataError, match=r"sub-1_T1w\.json"):
        index.metadata(index[0])


@pytest.mark.parametrize("validate", [True, False])
@pytest.mark.parametrize("wanted", [[".tif", ".nii.gz"], [".TIF", ".Nii.gz"]])
def test_capitals_of_extensions_do_not_count(tmp_path, validate, wanted):
    names = ["sub-1/micr/sub-1_SEM.TIF", "sub-2/anat/sub-2_T1w.NII.GZ", "sub-3/micr/sub-3_SEM.tif"]
    write(tmp_path, *names, "sub-4/micr/sub-4_SEM.ome.TIF")
    write(tmp_path, "sub-1/micr/sub-1_SEM.JSON", text='{"PixelSize": 1}')
    index = scan(tmp_path, wanted, validate=validate)
    assert [file.relative for file in index][: len(names)] == names
    assert [file.stem for file in index][:3] == ["sub-1_SEM", "sub-2_T1w", "sub-3_SEM"]
    assert [file.extension for file in index][:2] == [".TIF", ".NII.GZ"]
    assert index.metadata(index[0]) == {"PixelSize": 1}


def test_a_sidecar_with_another_padding_applies(tmp_path):
    write(tmp_path, "sub-1/anat/sub-1_run-1_T1w.nii", "sub-1/anat/sub-1_run-2_T1w.nii")
    write(tmp_path, "sub-1/anat/sub-1_run-02_T1w.json", text='{"EchoTime": 2}')
    assert [scan(tmp_path).metadata(file) for file in scan(tmp_path)] == [{}, {"EchoTime": 2}]


@pytest.mark.parametrize("validate", [True, False])
def test_links_that_lead_to_each_other_or_nowhere_have_an_end(tmp_path, validate):
    image, label = "sub-1/anat/sub-1_T1w.nii", "derivatives/a/sub-1/anat/sub-1_T1w_seg.nii"
    write(
        tmp_path, image, label, "derivatives/._a/sub-1/anat/sub-1_T1w_seg.nii", "sub-1/anat/._sub-1_T1w.nii"
    )
    write(tmp_path, "derivatives/b/readme.txt")
    for place, target in (
        ("derivatives/a/to_b", "../b"),
        ("derivatives/b/to_a", "../a"),
        ("derivatives/top", "../.."),
        ("derivatives/itself", "itself"),
        ("sub-2", "sub-2"),
        ("sub-1/anat/sub-1_T2w.nii", "sub-1_T2w.nii"),
    ):
        (tmp_path / place).symlink_to(target)
    index = scan(tmp_path, validate=validate)
    # Links to folders are followed, so that the label has two names; see `Labels`.
    assert {file.path.resolve().relative_to(tmp_path.resolve()).as_posix() for file in index} == {
        image,
        label,
    }
    assert [Path(item.file).name for item in index.skipped] == ["sub-1_T2w.nii"]
    image_file = next(file for file in index if not file.is_derivative)
    assert Labels(index).find(image_file, "_seg") is not None


def test_a_folder_that_may_not_be_read_is_named(tmp_path):
    write(tmp_path, "sub-1/anat/sub-1_T1w.nii")
    real = os.scandir

    def denied(folder):
        if str(folder).endswith("sub-1"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return real(folder)

    with (
        mock.patch.object(bids_index.os, "scandir", denied),
        pytest.raises(
            DataError, match=r"sub-1: cannot be listed \(Permission denied\); check its permissions"
        ),
    ):
        scan(tmp_path)


@pytest.mark.parametrize("above", [False, True])
def test_a_data_set_that_may_not_be_read_is_named(tmp_path, monkeypatch, above):
    def denied(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    if above:
        monkeypatch.setattr(Path, "exists", denied)
    else:
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(
        DataError, match=rf"{tmp_path}: cannot be read \(Permission denied\); check its permissions"
    ):
        scan(tmp_path)


def test_a_missing_data_set_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        scan(tmp_path / "nowhere")


@given(st.integers(0, 1000))
def test_order_of_directory_entries_does_not_matter(tmp_path_factory, seed):
    root = tmp_path_factory.getbasetemp() / "order"
    if not root.exists():
        for subject in "abc":
            write(root, *(f"sub-{subject}/anat/sub-{subject}_{suffix}.nii" for suffix in ("T1w", "T2w")))
    expected = sorted(str(path) for path in root.rglob("*.nii"))
    real = os.scandir

    class Shuffled:
        def __init__(self, folder):
            with real(folder) as entries:
                self.entries = list(entries)
            random.Random(seed).shuffle(self.entries)

        def __enter__(self):
            return self.entries

        def __exit__(self, *_):
            return None

    with mock.patch.object(bids_index.os, "scandir", Shuffled):
        assert [str(file.path) for file in scan(root)] == expected


def test_the_layout_of_the_package_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rules = load_rules("ivadomed/config/config_bids.json")
    assert rules == load_rules(CONFIG_DIR / "config_bids.json")
    with pytest.raises(ConfigError, match=r"bids_config: config/mine.json cannot be read"):
        load_rules("config/mine.json")
