import nibabel as nib
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from ivadomed.images.io import make_nifti, save_nifti
from ivadomed.images.labels import LabelFile, read_label
from ivadomed.inference.label_map import LabelMaps, label_map
from ivadomed.inference.own_results import is_marked
from ivadomed.loader.bids.label_tables import read_table

AFFINE = np.diag([2.0, 1, 3, 1])
NAMES = ("anterior", "seg-posterior")


def masks(*voxels: tuple[int, ...], shape=(4, 5, 3), dtype=np.uint8) -> list[nib.Nifti1Image]:
    """One image per class, 1 at one voxel."""
    images = []
    for voxel in voxels:
        data = np.zeros(shape, dtype)
        data[voxel] = 1
        images.append(make_nifti(data, AFFINE))
    return images


@given(arrays(np.uint8, (3, 4, 2), elements=st.integers(0, 5)))
def test_masks_of_a_map_give_the_map(classes):
    joined = label_map([(classes == k).astype(np.float32) for k in range(1, 6)])
    np.testing.assert_array_equal(joined, classes)


def test_soft_values_above_a_half_count_and_a_shared_voxel_makes_no_map():
    first, second = np.array([[[0.5, 0.6, 0.2]]]), np.array([[[0.5, 0.4, 0.8]]])
    assert label_map([first, second]).tolist() == [[[0, 1, 2]]]
    assert label_map([first, second + 0.2]) is None


def test_more_classes_than_a_byte_has():
    joined = label_map([np.arange(300) == k for k in range(300)])
    assert joined.tolist() == list(range(1, 301))


def test_files_of_a_volume(tmp_path):
    written = LabelMaps(NAMES).write(tmp_path / "sub-01_T1w", masks((0, 0, 0), (1, 2, 1)))
    assert written == [tmp_path / "sub-01_T1w_dseg.nii.gz"]
    image = nib.load(written[0])
    assert (image.shape, image.get_data_dtype()) == ((4, 5, 3), np.uint8)
    np.testing.assert_array_equal(image.affine, AFFINE)
    data = np.asanyarray(image.dataobj)
    assert (data[0, 0, 0], data[1, 2, 1], data.sum()) == (1, 2, 3)
    assert read_table(tmp_path / "dseg.tsv") == {"anterior": (1,), "seg-posterior": (2,)}
    assert is_marked(written[0])


def test_pixels_of_a_picture_are_classes_that_viewers_show_in_colour(tmp_path):
    written = LabelMaps(NAMES).write(
        tmp_path / "rat", masks((0, 0), (1, 2), shape=(4, 5, 1)), [".nii.gz", ".png"]
    )
    picture = Image.open(written[1])
    pixels = np.asarray(picture)
    assert (pixels[0, 0], pixels[1, 2], pixels.sum(), pixels.shape) == (1, 2, 3, (4, 5))
    shown = np.asarray(picture.convert("RGB"))
    assert len({tuple(shown[at]) for at in ((0, 0), (1, 2), (3, 3))}) == 3
    assert is_marked(written[1])
    label = read_label(LabelFile(written[1], (2,)))
    assert np.argwhere(label.data).tolist() == [[1, 2, 0]]


def test_what_an_earlier_prediction_left_goes_and_what_somebody_drew_stays(tmp_path):
    apart, shared = masks((0, 0, 0), (1, 2, 1)), masks((0, 0, 0), (0, 0, 0))
    [file] = LabelMaps(NAMES).write(tmp_path / "a", apart)
    assert LabelMaps(NAMES).write(tmp_path / "a", shared) == []
    assert not file.exists()
    [file] = LabelMaps(NAMES).write(tmp_path / "a", apart)
    assert LabelMaps().write(tmp_path / "a", apart) == []
    assert not file.exists()
    save_nifti(apart[0], file)
    assert LabelMaps().write(tmp_path / "a", apart) == []
    assert file.exists()


def test_maps_of_two_models_in_one_folder_have_tables_of_their_own(tmp_path):
    LabelMaps(NAMES).write(tmp_path / "a", masks((0, 0, 0), (1, 2, 1)))
    other = LabelMaps(("grey", "white"))
    other.write(tmp_path / "b", masks((0, 0, 0), (1, 2, 1)))
    assert list(read_table(tmp_path / "dseg.tsv")) == list(NAMES)
    assert list(read_table(tmp_path / "b_dseg.tsv")) == ["grey", "white"]
    LabelMaps(NAMES).write(tmp_path / "b", masks((0, 0, 0), (1, 2, 1)))
    assert not (tmp_path / "b_dseg.tsv").exists()
