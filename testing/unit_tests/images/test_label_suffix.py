import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.errors import DataError
from ivadomed.images.label_suffix import LabelSuffix, class_labels, file_suffix, names_for_files

TABLE = {"anterior": (1,), "posterior": (2,), "whole": (1, 2, 3), "CSF+fat": (7,), "9": (4,)}


@pytest.mark.parametrize(
    ("text", "file", "values"),
    [
        ("_seg-manual", "_seg-manual", ()),
        ("_dseg:1", "_dseg", (1,)),
        ("_dseg:2+1+2", "_dseg", (1, 2)),
        ("_dseg:-1", "_dseg", (-1,)),
        ("_dseg:anterior", "_dseg", (1,)),
        ("_dseg:posterior+anterior", "_dseg", (1, 2)),
        ("_dseg:whole", "_dseg", (1, 2, 3)),
        ("_dseg:anterior + 5", "_dseg", (1, 5)),
        ("_dseg:CSF+fat", "_dseg", (7,)),  # a name that holds a plus
        ("_dseg:1+CSF+fat+posterior", "_dseg", (1, 2, 7)),
        ("_dseg:9", "_dseg", (9,)),  # digits are a value, whatever the table calls so
    ],
)
def test_an_expression_names_a_file_and_values(text, file, values):
    suffix = LabelSuffix.parse(text)
    assert (suffix.file, suffix.values(TABLE, "x.nii.gz")) == (file, values)
    assert file_suffix(text) == file


@pytest.mark.parametrize("text", ["", ":1", "_dseg:", "_dseg:1+", "_dseg:+", "_dseg: "])
def test_an_expression_without_a_file_or_a_class_is_refused(text):
    with pytest.raises(ValueError, match="expected the suffix of a file"):
        LabelSuffix.parse(text)


def test_an_unknown_name_is_an_error_with_the_names_there():
    with pytest.raises(
        DataError,
        match=r"'anteror', which is not in its table; did you mean 'anterior'\?; available: anterior",
    ):
        LabelSuffix.parse("_dseg:anteror").values(TABLE, "x.nii.gz")
    with pytest.raises(
        DataError, match=r"no table defines its values; put a dseg.tsv with the columns index and name"
    ):
        LabelSuffix.parse("_dseg:anterior").values({}, "x.nii.gz")


def test_names_of_files_have_no_colon_or_plus():
    names = ["_seg-manual", "_dseg:anterior", "_dseg:1+2", "_dseg:white/grey matter"]
    assert names_for_files(names) == ["_seg-manual", "_dseg-anterior", "_dseg-1-2", "_dseg-white-grey-matter"]
    assert names_for_files(["_d:a+b", "_d:a-b", "_d:A-B"]) == ["_d-a-b", "_d-a-b-2", "_d-A-B-3"]


@given(
    st.lists(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=6), min_size=1, max_size=5, unique=True
    )
)
def test_names_of_files_are_unique_and_safe(selections):
    names = names_for_files([f"_dseg:{selection}" for selection in selections])
    assert len({name.lower() for name in names}) == len(names)
    assert not any(set(name) & set(':+/\\*?"<>|') for name in names)


def test_names_of_classes_for_people():
    names = ["_dseg:anterior", "_seg-manual", "_dseg:3", "_dseg:1+2", "class_0"]
    assert class_labels(names) == ["anterior", "seg-manual", "dseg-3", "dseg-1-2", "class_0"]
    assert class_labels(["_a:x", "_b:x", "_c:background"]) == ["x0", "x1", "background2"]
