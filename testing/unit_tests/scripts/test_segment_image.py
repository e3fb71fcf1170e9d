"""``ivadomed_segment_image`` on files without BIDS."""

import imageio.v3 as iio
import nibabel as nib
import numpy as np
import pytest

from ivadomed.errors import DataError
from ivadomed.inference import segment_volume
from ivadomed.scripts.segment_image import add_suffix, main, segment_image, splitext


def test_one_image_and_a_folder(package, image, tmp_path, capsys):
    folder, path = package(), image("a_T1w.nii.gz")
    out = tmp_path / "out"
    assert main(["-m", str(folder), "-i", str(path), "-o", str(out)]) == 0
    file = out / "a_T1w_seg-manual_pred.nii.gz"
    assert capsys.readouterr().out.strip() == str(file)
    expected, _ = segment_volume(folder, path)
    np.testing.assert_array_equal(nib.load(file).get_fdata(), expected[0].get_fdata())
    scans = tmp_path / "scans"
    scans.mkdir()
    for name in ("b.nii.gz", "c.nii.gz"):
        (scans / name).write_bytes(path.read_bytes())
    assert main(["-m", str(folder), "-i", str(scans), "-o", str(out), "-s", "_mask", "--gpu", "none"]) == 0
    assert {p.name for p in out.glob("*_mask.nii.gz")} == {"b_mask.nii.gz", "c_mask.nii.gz"}


def test_a_damaged_image_does_not_stop_a_folder(package, image, tmp_path, capsys):
    scans, path, folder = tmp_path / "scans", image(), package()
    scans.mkdir()
    for name in ("a.nii.gz", "c.nii.gz"):
        (scans / name).write_bytes(path.read_bytes())
    (scans / "b.nii.gz").write_bytes(b"no image")
    out = tmp_path / "out"
    assert main(["-m", str(folder), "-i", str(scans), "-o", str(out)]) == 1
    assert "b.nii.gz: not a readable NIfTI file" in capsys.readouterr().err
    assert {p.name[0] for p in out.iterdir()} == {"a", "c"}
    (scans / "c.nii.gz").write_bytes(b"no image")
    assert main(["-m", str(folder), "-i", str(scans), "-o", str(out)]) == 1
    assert "2 of 3 images were not segmented" in capsys.readouterr().err


def test_channels_and_several_subjects(package, image, tmp_path):
    folder = package(contrasts=("T1w", "T2w"), classes=("_axon", "_myelin"))
    files = [image(f"{name}.nii.gz", seed=seed) for seed, name in enumerate(("a1", "a2", "b1", "b2"))]
    subjects = ["-i", str(files[0]), str(files[1]), "-i", str(files[2]), str(files[3])]
    assert main(["-m", str(folder), *subjects, "-o", str(tmp_path / "out"), "--threshold", "0.5"]) == 0
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {f"{s}1{c}_pred.nii.gz" for s in "ab" for c in ("_axon", "_myelin")}


def test_mirroring_is_an_option(package, image, tmp_path, capsys):
    folder, path, out = package(mirror_axes=[0, 1]), image("a.nii.gz"), tmp_path / "out"
    command = ["-m", str(folder), "-i", str(path), "-o", str(out), "-s", "_seg"]
    written = []
    for axes in (["0", "1"], ["0"], []):
        assert main([*command, "--mirror-axes", *axes]) == 0
        written.append(nib.load(out / "a_seg.nii.gz").get_fdata())
    assert main(command) == 0
    np.testing.assert_array_equal(nib.load(out / "a_seg.nii.gz").get_fdata(), written[0])
    assert np.abs(written[0] - written[1]).max() > 1e-3 < np.abs(written[1] - written[2]).max()
    assert main([*command, "--mirror-axes", "2"]) == 1
    assert "expected some of the axes [0, 1] of the samples of this 2D model" in capsys.readouterr().err


def test_pictures_become_pictures(package, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16), np.uint8)
    iio.imwrite(tmp_path / "rat.png", pixels)
    options = ["--pixel-size", "0.1", "0.1", "--pixel-size-units", "um", "--threshold", "0.5"]
    folder = package(loader={"extensions": [".png"]})
    assert (
        main(["-m", str(folder), "-i", str(tmp_path / "rat.png"), "-o", str(tmp_path / "o"), *options]) == 0
    )
    mask = iio.imread(tmp_path / "o" / "rat_seg-manual_pred.png")
    assert mask.shape == pixels.shape
    assert set(np.unique(mask)) <= {0, 255}


def test_errors_are_one_line(package, image, tmp_path, capsys):
    folder, path = package(), image()
    model = ["-m", str(folder), "-i", str(path)]

    def fails(arguments, message):
        assert main(arguments) != 0
        error = capsys.readouterr().err
        assert message in error
        assert len(error.strip().splitlines()) == 1

    fails([*model, "-s", "_a", "_b"], "--suffix: 2 given")
    fails([*model, "--gpu", "first"], "--gpu: 'first'; expected the number of a GPU, or none")
    fails(["-m", str(folder), "-i", str(tmp_path / "gone.nii.gz")], "gone.nii.gz: no such image file")
    empty = tmp_path / "empty"
    empty.mkdir()
    fails(["-m", str(folder), "-i", str(empty)], "holds no image")
    fails(["-m", str(tmp_path / "none"), "-i", str(path)], "no such model folder")
    (tmp_path / "x.nii.gz").write_bytes(path.read_bytes())
    same = ["-m", str(folder), "-i", str(tmp_path / "x.nii.gz"), "-o", str(tmp_path)]
    before = (tmp_path / "x.nii.gz").read_bytes()
    assert main([*same, "-s", ""]) != 0
    assert "would replace an input" in capsys.readouterr().err
    assert (tmp_path / "x.nii.gz").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "stem", "extension"),
    [
        ("a/t2.nii.gz", "a/t2", ".nii.gz"),
        ("t2.nii", "t2", ".nii"),
        ("a.b/T2.NII.GZ", "a.b/T2", ".NII.GZ"),
        ("x.ome.tif", "x", ".ome.tif"),
        ("sub-01_2.5mm.png", "sub-01_2.5mm", ".png"),
        ("a.b/README", "a.b/README", ""),
    ],
)
def test_names_of_files(name, stem, extension):
    assert splitext(name) == (stem, extension)
    assert add_suffix(name, "_seg") == f"{stem}_seg{extension}"


def test_results_lie_beside_the_image(package, image):
    folder, path = package(), image("a_T1w.nii.gz")
    [file] = segment_image([str(path)], str(folder), "_pred", {"binarize_prediction": 0.5})
    assert file == path.with_name("a_T1w_pred.nii.gz")
    [expected], _ = segment_volume(folder, path, options={"binarize_prediction": 0.5})
    np.testing.assert_array_equal(nib.load(file).get_fdata(), expected.get_fdata())
    several = package("two", classes=("_axon", "_myelin"))
    files = segment_image([path], several, "_pred", None)
    assert [f.name for f in files] == ["a_T1w_axon_pred.nii.gz", "a_T1w_myelin_pred.nii.gz"]
    with pytest.raises(DataError, match=r"a_T1w\.txt"):
        segment_image([path.rename(path.with_name("a_T1w.txt"))], folder, "_pred", None)


def test_suffixes_may_have_an_extension(package, image, tmp_path, capsys):
    folder, path, out = package(), image("a_T1w.nii.gz"), tmp_path / "out"
    [file] = segment_image([path], folder, "_seg.nii.gz", None)
    assert file == path.with_name("a_T1w_seg.nii.gz")
    assert file.is_file()
    assert main(["-m", str(folder), "-i", str(path), "-o", str(out), "-s", "_seg.nii"]) == 0
    assert [p.name for p in out.iterdir()] == ["a_T1w_seg.nii"]
    assert main(["-m", str(folder), "-i", str(path), "-o", str(out), "-s", "_seg.png"]) != 0
    assert "--suffix: _seg.png, but segmentations of NIfTI files" in capsys.readouterr().err
    iio.imwrite(tmp_path / "rat.png", np.zeros((12, 16), np.uint8))
    size = ["--pixel-size", "0.1", "0.1", "-s", "_seg-axon.png"]
    axons = package("axons", loader={"extensions": [".png"]})
    assert main(["-m", str(axons), "-i", str(tmp_path / "rat.png"), "-o", str(out), *size]) == 0
    assert (out / "rat_seg-axon.png").is_file()
    several = package("several", classes=("_axon.nii.gz", "_myelin.nii.gz"))
    assert main(["-m", str(several), "-i", str(path), "-o", str(tmp_path / "two")]) == 0
    names = sorted(p.name for p in (tmp_path / "two").iterdir())
    assert names == ["a_T1w_axon_pred.nii.gz", "a_T1w_dseg.nii.gz", "a_T1w_myelin_pred.nii.gz", "dseg.tsv"]


@pytest.fixture
def identity(threshold_model):
    """A model that answers 1 where the image exceeds 0.5; its class is "_seg-manual"."""
    return threshold_model("model", threshold=0.5)


def write_scan(path, voxels):
    path.parent.mkdir(parents=True, exist_ok=True)
    data = np.zeros((4, 5, 2), np.float32)
    data.flat[:voxels] = 1
    nib.save(nib.Nifti1Image(data, np.eye(4)), path)
    return str(path)


def test_images_of_one_name_keep_their_folders_apart(identity, tmp_path, capsys):
    scans = [write_scan(tmp_path / f"data/sub{k}/anat/t2.nii.gz", k) for k in (1, 2)]
    out = tmp_path / "out"
    assert main(["-m", str(identity), "-i", *scans, scans[0], "-o", str(out), "-s", "_seg"]) == 0
    files = [out / f"sub{k}/anat/t2_seg.nii.gz" for k in (1, 2)]
    assert capsys.readouterr().out.split() == list(map(str, files))
    assert [nib.load(file).get_fdata().sum() for file in files] == [1, 2]


@pytest.mark.parametrize("other", ["a.nii", "a.ome.nii.gz"])
def test_results_that_would_overwrite_each_other_are_refused_before_the_prediction(
    identity, tmp_path, capsys, other
):
    folder = tmp_path / "scans"
    for name in ("a.nii.gz", other):
        write_scan(folder / name, 1)
    code = main(["-m", str(identity), "-i", str(folder), "-o", str(tmp_path / "out")])
    if other == "a.nii":
        assert code == 1
        assert "both results would be" in capsys.readouterr().err
        assert not (tmp_path / "out").exists()
    else:
        assert code == 0
        assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_result_never_replaces_another_input(identity, tmp_path, capsys):
    scans = [write_scan(tmp_path / name, 1) for name in ("a.nii.gz", "a_seg.nii.gz")]
    assert main(["-m", str(identity), "-i", *scans, "-o", str(tmp_path), "-s", "_seg"]) == 1
    assert "a_seg.nii.gz: the output would replace an input" in capsys.readouterr().err
    assert nib.load(scans[1]).get_data_dtype() == np.float32


def test_classes_need_suffixes_that_differ(package, image, tmp_path, capsys):
    folder = package(classes=("_axon", "_myelin"))
    assert main(["-m", str(folder), "-i", str(image()), "-o", str(tmp_path), "-s", "_a", "_a"]) == 1
    assert "the suffixes of the classes must differ" in capsys.readouterr().err


def test_further_runs_over_a_folder_leave_results_alone(identity, threshold_model, tmp_path, caplog):
    folder, other = tmp_path / "scans", threshold_model("other", threshold=0.1)
    write_scan(folder / "a.nii.gz", 3)
    iio.imwrite(folder / "b.png", np.full((6, 7), 200, np.uint8))
    for model, more in (
        (identity, ()),
        (identity, ("--threshold", "0.2")),
        (other, ("-s", "_lesion")),
        (other, ("-s", "_v2")),
        (identity, ()),
    ):
        assert main(["-m", str(model), "-i", str(folder), "-o", str(folder), *more]) == 0
    suffixes = ("", "_seg-manual_pred", "_lesion", "_v2")
    expected = {f"{stem}{s}{end}" for s in suffixes for stem, end in (("a", ".nii.gz"), ("b", ".png"))}
    assert {path.name for path in folder.iterdir()} == expected
    assert "6 result(s) of an earlier segmentation left out" in caplog.text
    # A file that is named is segmented whatever it is.
    assert main(["-m", str(identity), "-i", str(folder / "a_v2.nii.gz"), "-o", str(tmp_path / "o")]) == 0


def test_patches_that_do_not_fit_have_the_remedy_of_a_user(package, image, tmp_path, capsys):
    network = {"name": "Unet", "depth": 1, "length_2D": [32, 32], "stride_2D": [32, 32]}
    folder, path = package(default_model=network), image(shape=(20, 24, 3))
    command = ["-m", str(folder), "-i", str(path), "-o", str(tmp_path / "o")]
    assert main(command) == 1
    assert "--no-patch (option no_patch of segment_volume)" in capsys.readouterr().err
    assert main([*command, "--no-patch"]) == 0
