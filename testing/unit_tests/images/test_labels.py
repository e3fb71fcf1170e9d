"""Labels by one rule."""

from pathlib import Path

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter

from ivadomed.data_check.files import check_case
from ivadomed.errors import DataError
from ivadomed.evaluation.pairs import PredictionPair, read_pair
from ivadomed.images import labels
from ivadomed.images.io import read_grid
from ivadomed.images.labels import LabelFile, as_region, iter_labels, open_label, read_label, read_map
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import read_volume
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.transforms.pipeline import Pipeline

MAP = np.array([0, 1, 2, 2, 4], np.uint8).reshape(5, 1, 1)
DISTANCE = np.hypot(*(np.mgrid[:96, :96] - 47.5))
DISC = np.where(DISTANCE < 30, 255, 0).astype(np.uint8)


@pytest.fixture
def save(tmp_path):
    """Write values as a label, and return its path."""

    def save(values, name="sub-01_T1w_seg.nii.gz", dtype=np.uint8, **options) -> Path:
        path = tmp_path / name
        data = np.asarray(values, dtype)
        if path.name.endswith(".nii.gz"):
            nib.save(nib.Nifti1Image(data.reshape(-1, 1, 1) if data.ndim == 1 else data, np.eye(4)), path)
        else:
            iio.imwrite(path, data[None] if data.ndim == 1 else data, **options)
        return path

    return save


def read(path, **options):
    return read_label(path, **options).data.ravel().tolist()


def test_values_of_a_map_make_up_a_class(save):
    dseg = save(MAP)
    one, several = iter_labels([LabelFile(dseg, (2,)), LabelFile(dseg, (1, 4))])
    np.testing.assert_array_equal(one.data.ravel(), [0, 0, 1, 1, 0])
    np.testing.assert_array_equal(several.data.ravel(), [0, 1, 0, 0, 1])
    assert one.data.dtype == np.float32


@settings(max_examples=30)
@given(
    values=arrays(np.uint8, (4, 1, 1), elements=st.sampled_from([0, 1, 2])),
    wanted=st.sampled_from([(1,), (1, 2)]),
)
def test_a_label_holds_a_class_that_has_a_voxel(tmp_path_factory, values, wanted):
    path = tmp_path_factory.mktemp("labels") / "dseg.nii.gz"
    nib.save(nib.Nifti1Image(values, np.eye(4)), path)
    assert open_label(path).holds(wanted) == read_label(LabelFile(path, wanted)).data.any()


@pytest.mark.parametrize("values", [[0, 0], [0, 1], [0, 5]])
def test_a_binary_label_holds_its_class_or_is_empty(save, values):
    assert open_label(save(values)).holds() == any(values)


def test_a_map_holds_no_single_class(save):
    with pytest.raises(DataError, match="expected 0 and one other value"):
        open_label(save(MAP)).holds()


def test_a_file_is_read_once_however_many_classes_it_holds(save, monkeypatch):
    dseg, paths = save(MAP), []
    opened = labels.open_label
    monkeypatch.setattr(
        labels, "open_label", lambda path, size=None: paths.append(path) or opened(path, size)
    )
    list(iter_labels([LabelFile(dseg, (value,)) for value in (1, 2, 3)]))
    assert paths == [dseg]
    assert not read_label(LabelFile(dseg, (3,))).data.any()


@pytest.mark.parametrize("text", ["a/b_dseg.nii.gz:1", "b.png:127+128", "b.nii:-1", "a:1/b.tif", "c:1"])
def test_a_label_reads_back_from_its_text(text):
    assert str(LabelFile.parse(text)) == text
    assert LabelFile.parse("b.nii.gz:1+2") == LabelFile(Path("b.nii.gz"), (1, 2))
    assert LabelFile.parse("c:1") == LabelFile(Path("c:1"))


@pytest.mark.parametrize(
    ("values", "dtype", "kind", "hard", "soft"),
    [
        ([0, 1, 1], np.uint8, "binary", [0, 1, 1], [0, 1, 1]),
        ([0, 255, 0], np.uint8, "binary", [0, 1, 0], [0, 1, 0]),
        ([0, 7, 0], np.int16, "binary", [0, 1, 0], [0, 1, 0]),
        ([0, 0, 0], np.int8, "binary", [0, 0, 0], [0, 0, 0]),
        ([0, 255, 0], np.float32, "binary", [0, 1, 0], [0, 1, 0]),
        ([0, 0.4, 1], np.float32, "soft", [0, 0, 1], [0, 0.4, 1]),
        ([0, 0.5, 0.7], np.float64, "soft", [0, 1, 1], [0, 0.5, 0.7]),
        ([-0.0004, 0.4, 1.0004], np.float32, "soft", [0, 0, 1], [0, 0.4, 1]),  # rounding
    ],
)
def test_labels_of_one_class(save, values, dtype, kind, hard, soft):
    path = save(values, dtype=dtype)
    assert open_label(path).kind == kind
    assert read(path) == hard
    assert read(path, soft=True) == pytest.approx(soft)
    assert as_region(np.array(values, dtype).reshape(-1, 1, 1)).data.ravel() == pytest.approx(soft)


@pytest.mark.parametrize(
    ("values", "dtype", "message"),
    [
        (
            [0, 1, 2, 2],
            np.uint8,
            r"has the values 0 \(1 voxel\), 1 \(1 voxel\), 2 \(2 voxels\); expected 0 and one other value\. Name each "
            r'class in loader_parameters\.target_suffix: \["_seg:1", "_seg:2"\] \("_seg:1\+2" joins two\)$',
        ),
        (
            [0, 1, 255],
            np.float32,
            r'"_seg:1", "_seg:255".* If 255 is not a class, .*ignore_label: "_seg:255"$',
        ),
        (range(40), np.uint8, r"has 40 values .*Save a soft label with values from 0 to 1$"),
        (
            [0, 1, -1, -1],
            np.int8,
            r'has the values -1 \(2 voxels\), .*\["_seg:1"\]\. Save -1 as 0, or exclude it with '
            r'loader_parameters\.ignore_label: "_seg:-1"$',
        ),
        ([0, 0, -1], np.int8, r"has the values -1 \(1 voxel\), 0 .*Save -1 as 1$"),
        (
            [-0.03, 0, 1.02, 0.5],
            np.float32,
            r"has values from -0\.03 to 1\.02 \(voxels: 1 below 0, 1 between 0 and 1, 1 above 1\); expected .* soft "
            r"values from 0 to 1\. .*interpolation",
        ),
        ([0, 0.5, 3], np.float32, r"1 above 1\); expected"),
        (range(9), np.int32, r'has 9 values from 0 \(1 voxel\) to 8 \(1 voxel\).*"_seg:3", \.\.\.\]'),
        ([0, 1, np.nan], np.float32, r"has NaN or infinite voxels"),
        ([0, 1, np.inf], np.float32, r"has NaN or infinite voxels"),
    ],
)
@pytest.mark.parametrize("soft", [False, True])
def test_what_is_no_label_is_refused_with_its_values(save, values, dtype, message, soft):
    path = save(values, dtype=dtype)
    with pytest.raises(DataError, match=rf"^{path}: .*{message}") as caught:
        read_label(path, soft=soft)
    assert "\n" not in str(caught.value)


def test_values_below_0_of_a_map_must_be_named(save):
    path = save([0, 1, -1], dtype=np.int8)
    with pytest.raises(
        DataError, match=r'of which -1 is not specified; save it as 0, or specify it in .*"_seg:-1"'
    ):
        read_label(LabelFile(path, (1,)))
    target, ignored = iter_labels([LabelFile(path, (1,)), LabelFile(path, (-1,))])
    assert (target.data.ravel().tolist(), ignored.data.ravel().tolist()) == ([0, 1, 0], [0, 0, 1])
    assert read(LabelFile(path, (1,)), among=[LabelFile(path, (-1,))]) == [0, 1, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_255_far_above_the_others_must_be_named(save, dtype):
    path = save([0, 1, 2, 255], dtype=dtype)
    with pytest.raises(DataError, match=r'of which 255 is not specified; save it as 0, or .*"_seg:255"'):
        read_label(LabelFile(path, (1,)))
    assert read(LabelFile(path, (1,)), among=[LabelFile(path, (255,))]) == [0, 1, 0, 0]
    assert read(LabelFile(path, (255,))) == [0, 0, 0, 1]
    assert read(LabelFile(save([0, 1, 251, 255], dtype=dtype), (1,))) == [
        0,
        1,
        0,
        0,
    ]  # as those of FreeSurfer
    assert read(LabelFile(save([0, 127, 255], "l.png"), (127,))) == [0, 1, 0]


def test_values_cannot_be_selected_from_soft_labels(save):
    path = save([0, 0.5, 1], dtype=np.float32)
    with pytest.raises(DataError, match=r"1 between 0 and 1\); expected the integers of a label map"):
        read_label(LabelFile(path, (1,)))
    with pytest.raises(DataError, match="expected the integers of a label map"):
        read_map(path)


def test_scaled_voxels_are_what_their_header_makes_of_them(tmp_path):
    image = nib.Nifti1Image(np.array([0, 51, 255], np.uint8).reshape(3, 1, 1), np.eye(4))
    image.header.set_slope_inter(1 / 255, 0)
    image.to_filename(tmp_path / "a.nii")
    raw = bytearray((tmp_path / "a.nii").read_bytes())
    raw[352:] = bytes([0, 51, 255])
    (tmp_path / "a.nii").write_bytes(raw)
    assert open_label(tmp_path / "a.nii").kind == "soft"
    assert read(tmp_path / "a.nii", soft=True) == pytest.approx([0, 0.2, 1])


@pytest.mark.parametrize("name", ["l.png", "l.tif"])
@pytest.mark.parametrize("values", [[0, 255], [0, 1], [0, 127], [0, 0]])
def test_pictures_of_one_grey(save, name, values):
    assert read(save(values, name)) == [0, float(values[1] > 0)]


def test_pictures_of_sixteen_bits(save):
    assert read(save([0, 65535, 0], "l.tif", np.uint16)) == [0, 1, 0]
    ramp = save(np.arange(0, 65536, 257), "r.tif", np.uint16)
    assert read(ramp, soft=True) == pytest.approx(np.linspace(0, 1, 256))
    assert sum(read(ramp)) == 128


@pytest.mark.parametrize("values", [[0, 127, 255], [0, 1, 255], [0, 100, 200], [0, 1, 2], range(0, 256, 17)])
def test_a_few_greys_are_classes(save, values):
    path = save(values, "sub-1_SEM_seg.png")
    with pytest.raises(DataError, match=r"the gray levels 0 \(1 pixel\)|has 16 gray levels") as caught:
        read_label(path)
    assert f'["_seg:{values[1]}", "_seg:{values[2]}"' in str(caught.value)
    assert read(LabelFile(path, (values[1],)))[:3] == [0, 1, 0]


def test_soft_borders_of_pictures(save):
    soft = np.where(DISTANCE < 30, 255, np.clip(255 * (32.3 - DISTANCE) / 2.3, 0, 255)).astype(np.uint8)
    for greys in (soft, gaussian_filter(DISC.astype(float), 3).astype(np.uint8)):
        path = save(greys, "l.png")
        assert open_label(path).kind == "soft"
        np.testing.assert_array_equal(read_label(path).data[..., 0], greys >= 127.5)
        np.testing.assert_allclose(read_label(path, soft=True).data[..., 0], greys / 255, rtol=1e-6)


def test_jpeg_labels(save):
    one, classes = save(DISC, "one.jpg"), np.where(DISTANCE < 20, 127, DISC)
    np.testing.assert_array_equal(read_label(one).data[..., 0], DISC > 0)
    for values, name in ((classes, "classes.jpg"), (DISC // 2, "dark.jpg")):
        with pytest.raises(DataError, match=r"neither one class nor its soft border.*Save it as PNG"):
            read_label(save(values, name))
    with pytest.raises(DataError, match="is a JPEG picture, which does not preserve values"):
        read_label(LabelFile(one, (255,)))


def test_jpeg_takes_pixels_of_dark_classes_away(save):
    path = save(np.minimum(DISC, 1), "one.jpg")
    with pytest.raises(DataError, match=r"neither one class nor its soft border.*Save it as PNG"):
        read_label(path)


@pytest.mark.parametrize("largest", [2, 100])
def test_a_map_whose_header_scales_it_has_whole_numbers(tmp_path, largest):
    """Saved as 16 bits with a slope, as nibabel does of floats: 1 becomes 0.99998 or 1.0003."""
    values = np.array([0, 1, 2, largest], np.float32).reshape(-1, 1, 1)
    image = nib.Nifti1Image(values, np.eye(4))
    image.set_data_dtype(np.int16)
    nib.save(image, tmp_path / "l_seg.nii")
    label = open_label(tmp_path / "l_seg.nii")
    assert label.kind == "map"
    assert not np.array_equal(label.image.data, values)
    assert label.counts == {0: 1, 1: 1, 2: 2} if largest == 2 else {0: 1, 1: 1, 2: 1, largest: 1}
    assert read(LabelFile(tmp_path / "l_seg.nii", (1, largest))) == [0, 1, int(largest == 2), 1]


def test_traces_of_a_drawing_program_count_as_the_nearer_grey(save):
    """Of 30,000 labelled pixels, up to 3 may have other greys; so have the labels of AxonDeepSeg's data."""
    values = np.zeros((200, 200), np.uint8)
    values[:150] = 255
    values[0, :3] = 130, 100, 233
    label = open_label(save(values, "l.png"))
    assert label.kind == "binary"
    assert label.traces == {100: 1, 130: 1, 233: 1}
    np.testing.assert_array_equal(label.of_class().data[..., 0], values >= 128)
    values[0, 3] = 100
    assert open_label(save(values, "m.png")).kind == "map"


def test_colours_of_a_palette_are_classes_and_greys_of_one_are_greys(tmp_path):
    values = np.array([[0, 1, 1, 2]], np.uint8)
    for name, colours in (
        ("c.png", [0, 0, 0, 255, 0, 0, 0, 0, 255]),
        ("g.png", [0] * 3 + [255] * 3 + [0] * 3),
    ):
        image = PillowImage.fromarray(values, mode="P")
        image.putpalette(colours)
        image.save(tmp_path / name)
    with pytest.raises(DataError, match=r'has the values 0 \(1 pixel\), 1 \(2 pixels\).*\["_c:1", "_c:2"\]'):
        read_label(tmp_path / "c.png")
    assert read(LabelFile(tmp_path / "c.png", (1,))) == [0, 1, 1, 0]
    assert read(tmp_path / "g.png") == [0, 1, 1, 0]
    colormap = np.zeros((3, 256), np.uint16)
    colormap[0, 1], colormap[1, 2] = 65535, 65535
    tifffile.imwrite(tmp_path / "c.tif", values, photometric="palette", colormap=colormap)
    assert read(LabelFile(tmp_path / "c.tif", (2,))) == [0, 0, 0, 1]
    tifffile.imwrite(tmp_path / "one.tif", np.minimum(values, 1), photometric="palette", colormap=colormap)
    assert read(tmp_path / "one.tif") == [0, 1, 1, 1]


def test_colours_are_no_label(save):
    path = save([[[255, 0, 0], [0, 0, 0]]], "l.png")
    with pytest.raises(
        DataError, match=r"l\.png: is a color picture; expected a label in gray or with a palette"
    ):
        read_label(path)


def test_one_bit_and_grey_with_alpha(tmp_path):
    PillowImage.fromarray(DISC).convert("1").save(tmp_path / "b.png")
    PillowImage.fromarray(np.stack([DISC, 255 - DISC], axis=-1), mode="LA").save(tmp_path / "a.png")
    tifffile.imwrite(tmp_path / "b.tif", DISC > 0)
    for name in ("b.png", "a.png", "b.tif"):
        np.testing.assert_array_equal(read_label(tmp_path / name).data[..., 0], DISC > 0)


@pytest.mark.parametrize(("background", "label"), [((0, 0), (0, 255)), ((255, 0), (255, 255))])
def test_a_label_that_only_alpha_shows_is_refused(tmp_path, background, label):
    """Grey and alpha: drawn in black on nothing, and a white layer with a mask."""
    pixels = np.where((DISC > 0)[..., None], np.uint8(label), np.uint8(background))
    PillowImage.fromarray(pixels, mode="LA").save(tmp_path / "a.png")
    with pytest.raises(DataError, match=r"a\.png: pixels of one gray level differ in the alpha channel"):
        read_label(tmp_path / "a.png")


def test_a_palette_with_another_background_than_entry_0_is_refused(tmp_path):
    image = PillowImage.fromarray(np.uint8(DISC == 0), mode="P")
    image.putpalette([255, 0, 0, 0, 0, 0])
    image.save(tmp_path / "p.png")
    count = np.count_nonzero(DISC == 0)
    with pytest.raises(DataError, match=rf"entry 0 .* color \[255, 0, 0\], but {count:,} pixels of other"):
        read_label(tmp_path / "p.png")


# Training, evaluation and data check.

WHOLE = [np.int8, np.uint8, np.int16, np.uint16, np.int32]
KINDS = st.one_of(
    st.tuples(
        st.sampled_from(WHOLE), st.sampled_from([(0, 1), (0, 100), (0,), (1,), (0, 1, 2), (0, 1, 3, 100)])
    ),
    st.tuples(st.sampled_from([np.int8, np.int16]), st.sampled_from([(0, -1), (-1, 0, 1), (0, 1, -3)])),
    st.tuples(
        st.sampled_from([np.float32, np.float64]),
        st.sampled_from([(0, 1), (0, 0.25, 1), (0, 0.5), (0, 255), (0, 1, 2)])
        | st.sampled_from([(-0.1, 0, 1), (0, 0.5, 1.1), (0, np.nan)]),
    ),
)


def outcome(function):
    """What a reader makes of a label, or None where it refuses it."""
    try:
        return function()
    except DataError:
        return None


def readings(path: Path, values: tuple[int, ...], soft: bool) -> list[np.ndarray | None]:
    """What training, evaluation and the reader itself make of a label, and None where they refuse it."""
    file = LabelFile(path, values)
    image = path.with_name("image" + "".join(path.suffixes))
    shape = read_grid(image).shape
    case = Case("sub-01_T1w", (image,), ((file,),), contrasts=("T1w",))
    prediction = path.with_name("a_pred.nii.gz")
    nib.save(nib.Nifti1Image(np.zeros(shape, np.float32), np.eye(4)), prediction)
    pair = PredictionPair("a", (prediction,), (file,), soft=soft)
    recipe = Recipe(Pipeline.from_config({}), 2, True, soft)
    findings = [f.message for f in check_case(case, recipe).findings if f.place == str(path) and f.fatal]
    refused = any("none reaches 0.5" not in message for message in findings)
    trained = outcome(lambda: read_volume(case, 2, soft).target[0])
    evaluated = outcome(lambda: read_pair(pair).target[..., 0])
    own = outcome(lambda: read_label(file, soft=soft).data)
    assert refused == (own is None)
    return [own, trained, evaluated]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), soft=st.booleans())
def test_training_evaluation_and_data_check_agree_on_volumes(tmp_path_factory, data, soft):
    dtype, values = data.draw(KINDS)
    voxels = data.draw(arrays(dtype, (3, 4, 2), elements=st.sampled_from([dtype(v) for v in values])))
    selected = data.draw(st.sampled_from([(), (1,), (1, 3)]))
    folder = tmp_path_factory.mktemp("labels")
    nib.save(nib.Nifti1Image(voxels, np.eye(4)), folder / "sub-01_T1w_seg.nii.gz")
    nib.save(
        nib.Nifti1Image(np.arange(24, dtype=np.float32).reshape(3, 4, 2), np.eye(4)), folder / "image.nii.gz"
    )
    check_agreement(
        voxels.astype(float),
        readings(folder / "sub-01_T1w_seg.nii.gz", selected, soft),
        selected,
        soft,
        is_volume=True,
    )


@settings(max_examples=40, deadline=None)
@given(data=st.data(), soft=st.booleans())
def test_training_evaluation_and_data_check_agree_on_pictures(tmp_path_factory, data, soft):
    values = data.draw(st.sampled_from([(0, 255), (0, 1), (0, 127), (0, 127, 255), (0, 1, 2), (0,)]))
    pixels = data.draw(arrays(np.uint8, (4, 5), elements=st.sampled_from(values)))
    selected = data.draw(st.sampled_from([(), (1,), (127, 255)]))
    folder = tmp_path_factory.mktemp("labels")
    iio.imwrite(folder / "sub-01_SEM_seg.png", pixels)
    iio.imwrite(folder / "image.png", np.kron([[0, 255], [0, 255]], np.ones((2, 3))).astype(np.uint8)[:, :5])
    found = readings(folder / "sub-01_SEM_seg.png", selected, soft)
    check_agreement(pixels[..., None].astype(float), found, selected, soft, is_volume=False)


def has_unnamed_void(present, selected, is_volume):
    """255 far above the other values of a volume marks by custom what has no label."""
    others = present - {255}
    return is_volume and 255 in present - {*selected} and bool(others) and max(others) < 128


def check_agreement(values, found, selected, soft, is_volume):
    """All refuse, or all read what the rule says."""
    own, trained, evaluated = found
    assert (own is None) == (trained is None) == (evaluated is None)
    present = set(np.unique(values))
    if not np.isfinite(values).all():
        expected = None
    elif selected:
        is_map = all(v >= 0 and v == round(v) for v in present) and not has_unnamed_void(
            present, selected, is_volume
        )
        expected = np.isin(values, selected) if is_map else None
    elif len(present - {0}) < 2 and min(present) >= 0 and not 0 < max(present) < 1:
        expected = values > 0
    elif min(present) >= 0 and max(present) <= 1:
        expected = values if soft else values >= 0.5
    else:
        expected = None
    if expected is None:
        assert own is None
        return
    for reading in (own, trained, evaluated):
        np.testing.assert_allclose(reading, expected)


def test_kept_labels_are_read_once_while_there_is_room(tmp_path, monkeypatch):
    paths = [tmp_path / f"{name}.nii.gz" for name in "abc"]
    for path in paths:
        nib.save(nib.Nifti1Image(np.eye(4, dtype=np.uint8)[..., None], np.eye(4)), path)
    read = []
    original = labels.open_label
    monkeypatch.setattr(
        labels, "open_label", lambda path, size=None: read.append(path) or original(path, size)
    )
    kept = labels.KeptLabels(most=2 * 16)
    for path in [*paths, *paths]:
        assert next(labels.iter_labels([labels.LabelFile(path)], opened=kept)).data.sum() == 4
    assert read == [*paths, paths[2]]
