"""The prediction engine, driven by functions whose answer is known."""

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ivadomed.errors import DataError, MachineError, ModelError
from ivadomed.geometry.grid import Grid
from ivadomed.inference import engine as module
from ivadomed.inference.engine import Engine
from ivadomed.loader.cases.case import Case
from ivadomed.loader.cases.volumes import Volume
from ivadomed.loader.prepared.prepare import Recipe
from ivadomed.loader.slices import SliceRule
from ivadomed.transforms import Pipeline, intensity_maths

PLAIN = Pipeline.from_config({})
KEEP_ALL = SliceRule(empty_input=False)

DIAGONAL = np.diag([0.9, 1.1, 2.0, 1.0])
FLIPPED = np.array([[-0.9, 0, 0, 40], [0, 1.1, 0, -3], [0, 0, -2.0, 7], [0, 0, 0, 1]])
PERMUTED = np.array([[0, 0, 2.0, 5], [-0.7, 0, 0, 3], [0, 0.9, 0, 1], [0, 0, 0, 1]])
_TILT = nib.eulerangles.euler2mat(z=0.2, y=-0.3, x=0.15) @ np.diag([0.9, -1.1, 2.0])
OBLIQUE = nib.affines.from_matvec(_TILT, [4, -5, 6])
AFFINES = {"diagonal": DIAGONAL, "flipped": FLIPPED, "permuted": PERMUTED, "oblique": OBLIQUE}


def identity(batch):
    return batch.image.numpy()


def sample_mean(batch):
    """Each sample is answered with its own mean, so samples that get mixed up show."""
    image = batch.image.numpy()
    axes = tuple(range(1, image.ndim))
    return np.broadcast_to(image.mean(axes, keepdims=True), image.shape).copy()


def scan(name="sub-01", shape=(8, 9, 6), affine=DIAGONAL, slice_axis=2, seed=0, data=None, channels=1):
    """A case and its volume; no file is written."""
    if data is None:
        data = np.random.default_rng(seed).random((channels, *shape)).astype(np.float32)
    data = np.asarray(data, np.float32).reshape(-1, *np.shape(data)[-3:])
    grid = Grid(data.shape[1:], affine, slice_axis)
    case = Case(id=name, images=tuple(Path(f"{name}_{c}.nii.gz") for c in range(len(data))))
    return case, Volume(np.stack([grid.to_hwd(d) for d in data]), None, None, grid, None)


def as_network(function):
    """A function of arrays as the engine takes it."""
    return lambda batch: torch.as_tensor(function(batch))


def engine(recipe, forward=identity, steps=PLAIN, n_classes=1, **options):
    return Engine(recipe, steps, as_network(forward), n_classes, **options)


def native(volume):
    return volume.grid.to_native(volume.image[0])


WINDOWS = {
    "slices": {"is_2d": True},
    "2D patches": {"is_2d": True, "length": (4, 3), "stride": (3, 2)},
    "volume": {"is_2d": False},
    "3D patches": {"is_2d": False, "length": (4, 3, 5), "stride": (3, 2, 4)},
}


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
@pytest.mark.parametrize("slice_axis", [0, 1, 2])
@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
def test_an_identity_network_returns_the_image_on_its_own_grid(affine, slice_axis, windows):
    data = np.random.default_rng(1).random((8, 9, 6)).astype(np.float32)
    case, volume = scan(data=data, affine=affine, slice_axis=slice_axis)
    [prediction] = engine(Recipe(PLAIN, slice_axis, **windows)).run([(case, volume)])
    assert prediction.case is case
    assert prediction.soft.shape == (8, 9, 6, 1)
    assert prediction.soft.dtype == np.float32
    np.testing.assert_array_equal(prediction.grid.affine, affine)
    np.testing.assert_allclose(prediction.soft[..., 0], data, rtol=1e-6)


@given(
    st.tuples(st.integers(5, 12), st.integers(5, 12), st.integers(5, 12)),
    st.tuples(st.integers(2, 5), st.integers(2, 5), st.integers(2, 5)),
    st.data(),
)
@settings(max_examples=30, deadline=None)
def test_overlapping_patches_of_any_size_average_to_the_image(shape, length, draw):
    stride = draw.draw(st.tuples(*(st.integers(1, n) for n in length)))
    batch_size = draw.draw(st.integers(1, 9))
    case, volume = scan(shape=shape, seed=sum(shape))
    recipe = Recipe(PLAIN, is_2d=False, length=length, stride=stride)
    [prediction] = engine(recipe, batch_size=batch_size).run([(case, volume)])
    np.testing.assert_allclose(prediction.soft[..., 0], native(volume), rtol=1e-5)


@pytest.mark.parametrize("windows", WINDOWS.values(), ids=WINDOWS)
@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_batch_size_order_and_number_of_cases_change_no_prediction(windows, batch_size):
    recipe = Recipe(PLAIN, **windows)
    steps = Pipeline.from_config({"NormalizeInstance": {"applied_to": ["im"]}})

    def forward(batch):  # depends on the whole sample
        image = batch.image.numpy()
        return np.tanh(image - image.max(axis=tuple(range(2, image.ndim)), keepdims=True))

    scans = [scan(f"sub-{i}", shape, seed=i) for i, shape in enumerate([(8, 9, 6), (7, 9, 5), (8, 9, 6)])]
    alone = {}
    for one in scans:
        [prediction] = engine(recipe, forward, steps, batch_size=2).run([one])
        alone[one[0].id] = prediction.soft
    for several in (scans, scans[::-1], [scans[1], scans[0]]):
        predictions = list(engine(recipe, forward, steps, batch_size=batch_size).run(several))
        assert [p.case.id for p in predictions] == [case.id for case, _ in several]
        for prediction in predictions:
            np.testing.assert_array_equal(prediction.soft, alone[prediction.case.id])


@pytest.mark.parametrize("batch_size", [1, 7])
def test_a_convolution_gives_the_numbers_of_torch_on_the_whole_image(batch_size):
    torch.manual_seed(0)
    network = torch.nn.Conv2d(1, 2, 3, padding=1)

    @torch.no_grad()
    def forward(batch):
        return network(batch.image).sigmoid().numpy()

    case, volume = scan()
    [prediction] = engine(Recipe(PLAIN), forward, n_classes=2, batch_size=batch_size).run([(case, volume)])
    slices = torch.from_numpy(native(volume)).permute(2, 0, 1)[:, None]
    with torch.no_grad():
        expected = network(slices).sigmoid().permute(2, 3, 0, 1).numpy()
    np.testing.assert_allclose(prediction.soft, expected, atol=1e-6)


def test_random_steps_do_not_depend_on_the_other_cases_of_the_run():
    steps = Pipeline.from_config({"RandomAffine": {"degrees": 30, "translate": [0.2, 0.2]}})
    first, second = scan("sub-1", seed=1), scan("sub-2", seed=2)
    [alone] = engine(Recipe(PLAIN), steps=steps).run([second])
    _, together = engine(Recipe(PLAIN), steps=steps).run([first, second])
    np.testing.assert_array_equal(together.soft, alone.soft)


def test_geometric_steps_are_undone_and_the_seed_decides_them():
    steps = Pipeline.from_config({"RandomReverse": {}})
    case, volume = scan(shape=(8, 9, 20))
    [prediction] = engine(Recipe(PLAIN), steps=steps).run([(case, volume)])
    np.testing.assert_allclose(prediction.soft[..., 0], native(volume), rtol=1e-6)

    seen = []

    def forward(batch):
        seen.append(batch.image.numpy().copy())
        return batch.image.numpy()

    for seed in (0, 0, 1):
        list(engine(Recipe(PLAIN), forward, steps, seed=seed, batch_size=100).run([(case, volume)]))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_images_of_different_sizes_in_one_run_share_no_batch():
    sizes = []

    def forward(batch):
        sizes.append(tuple(batch.image.shape))
        return batch.image.numpy()

    scans = [scan("a", (8, 9, 3)), scan("b", (8, 9, 2), seed=1), scan("c", (5, 4, 3), seed=2)]
    predictions = list(engine(Recipe(PLAIN), forward, batch_size=4).run(scans))
    # 3 slices of a and the first of b; the second of b alone, for c has another size.
    assert sizes == [(4, 1, 8, 9), (1, 1, 8, 9), (3, 1, 5, 4)]
    for prediction, (_, volume) in zip(predictions, scans, strict=True):
        np.testing.assert_allclose(prediction.soft[..., 0], native(volume), rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_a_filtered_last_slice_does_not_merge_a_case_into_the_next(batch_size):
    first, second = np.full((4, 4, 3), 0.25), np.full((4, 4, 3), 0.75)
    for data in (first, second):
        data[0, 0] += 0.125  # slices need two intensities to stay
        data[1, 1] -= 0.125
    first[..., 2] = 0.5  # constant: filtered
    scans = [scan("sub-1", data=first), scan("sub-2", data=second)]
    one, two = engine(Recipe(PLAIN), sample_mean, batch_size=batch_size).run(scans)
    np.testing.assert_allclose(one.soft[..., :2, 0], 0.25)
    assert (one.soft[..., 2, 0] == 0).all()
    np.testing.assert_allclose(two.soft, 0.75)


def test_a_case_without_any_slice_left_is_all_zero_and_keeps_its_place():
    scans = [scan("a"), scan("b", data=np.full((3, 4, 5), 2.0)), scan("c", seed=2)]
    forward = lambda batch: np.ones((len(batch.image), 2, *batch.image.shape[2:]), np.float32)  # noqa: E731
    predictions = list(engine(Recipe(PLAIN), forward, n_classes=2).run(scans))
    assert [p.case.id for p in predictions] == ["a", "b", "c"]
    assert predictions[1].soft.shape == (3, 4, 5, 2)
    assert predictions[1].soft.dtype == np.float32
    assert not predictions[1].soft.any()
    assert (predictions[2].soft == 1).all()


@pytest.mark.parametrize("is_2d", [True, False])
def test_outside_the_crop_the_prediction_is_zero(is_2d):
    size = [4, 6] if is_2d else [4, 6, 2]
    recipe = Recipe(Pipeline.from_config({"CenterCrop": {"size": size}}), is_2d=is_2d)
    case, volume = scan(shape=(10, 12, 6))
    volume.image[:] += 0.5
    [prediction] = engine(recipe).run([(case, volume)])
    expected = np.zeros((10, 12, 6), np.float32)
    inside = (slice(3, 7), slice(3, 9), slice(None) if is_2d else slice(2, 4))  # (10 - 4) / 2, (12 - 6) / 2
    expected[inside] = native(volume)[inside]
    np.testing.assert_allclose(prediction.soft[..., 0], expected, rtol=1e-6)


def test_a_crop_larger_than_the_image_pads_and_is_undone():
    recipe = Recipe(Pipeline.from_config({"CenterCrop": {"size": [16, 7]}}))
    case, volume = scan(shape=(10, 12, 3))
    [prediction] = engine(recipe).run([(case, volume)])
    expected = np.zeros((10, 12, 3), np.float32)
    expected[:, 2:9] = native(volume)[:, 2:9]  # (12 - 7) // 2 = 2
    np.testing.assert_allclose(prediction.soft[..., 0], expected, rtol=1e-6)


@pytest.mark.parametrize("is_2d", [True, False])
def test_resampling_and_crop_are_undone_in_reverse(is_2d):
    # A ramp is linear, and linear functions survive interpolation.
    ramp = np.linspace(0.1, 0.9, 20)[:, None, None] * np.ones((20, 16, 8))
    size = [24, 32] if is_2d else [24, 32, 16]
    resample = {"hspace": 0.5, "wspace": 0.5, "dspace": 0.5 if not is_2d else 1}
    recipe = Recipe(
        Pipeline.from_config({"Resample": resample, "CenterCrop": {"size": size}}),
        is_2d=is_2d,
        slice_filter=KEEP_ALL,
    )
    seen = []

    def forward(batch):
        seen.append(batch.image.shape)
        return batch.image.numpy()

    [prediction] = engine(recipe, forward).run([scan(data=ramp, affine=np.eye(4))])
    assert set(seen) == {(8, 1, 24, 32)} if is_2d else {(1, 1, 24, 32, 16)}
    soft = prediction.soft[..., 0]
    assert soft.shape == (20, 16, 8)
    # Rows 8..31 of 40 stay; a row of the image lies where r * 39 / 19 falls, rows 4..15 well inside.
    np.testing.assert_allclose(soft[5:15], ramp[5:15], atol=2e-3)
    assert (soft[:3] == 0).all()
    assert (soft[17:] == 0).all()


def test_several_channels_stay_in_their_order():
    case, volume = scan(channels=2)
    weigh = lambda batch: (batch.image[:, :1] * 0.25 + batch.image[:, 1:] * 0.75).numpy()  # noqa: E731
    [prediction] = engine(Recipe(PLAIN, is_2d=False), weigh).run([(case, volume)])
    expected = 0.25 * volume.image[0] + 0.75 * volume.image[1]
    np.testing.assert_allclose(prediction.soft[..., 0], volume.grid.to_native(expected), rtol=1e-6)


def test_a_patch_that_does_not_fit_names_the_case():
    recipe = Recipe(PLAIN, length=(32, 32), stride=(32, 32))
    with pytest.raises(DataError, match=r"^sub-07: a patch of 32x32 voxels does not fit"):
        list(engine(recipe).run([scan("sub-07")]))


def test_a_roi_crop_without_roi_names_the_case():
    recipe = Recipe(Pipeline.from_config({"ROICrop": {"size": [4, 4]}}))
    with pytest.raises(DataError, match=r"^sub-07: ROICrop needs a region of interest"):
        list(engine(recipe).run([scan("sub-07")]))


def test_a_run_after_a_failed_one_starts_clean():
    recipe = Recipe(PLAIN, length=(6, 6), stride=(6, 6))
    tool = engine(recipe, sample_mean, batch_size=100)
    with pytest.raises(DataError):
        list(tool.run([scan("a"), scan("b", (3, 3, 3))]))
    sizes = []

    def forward(batch):
        sizes.append(len(batch.image))
        return batch.image.numpy()

    tool.forward = as_network(forward)
    case, volume = scan("c", (6, 6, 3), seed=4)
    [prediction] = tool.run([(case, volume)])
    np.testing.assert_allclose(prediction.soft[..., 0], native(volume), rtol=1e-6)
    assert sizes == [3]  # nothing of the failed run is predicted again


def test_volumes_are_read_as_predictions_are_taken():
    read = []

    def volumes():
        for i in range(5):
            read.append(i)
            yield scan(f"sub-{i}", (4, 4, 2), seed=i)

    predictions = engine(Recipe(PLAIN), batch_size=2).run(volumes())
    assert next(predictions).case.id == "sub-0"
    assert read == [0]


def test_neither_image_nor_recipe_is_changed():
    case, volume = scan()
    before = volume.image.copy()
    recipe = Recipe(PLAIN, length=(4, 4), stride=(4, 4))
    steps = Pipeline.from_config({"NormalizeInstance": {"applied_to": ["im"]}})

    def forward(batch):
        answer = batch.image.numpy()
        answer *= 0  # a careless backend writes into what it was given
        return answer

    list(engine(recipe, forward, steps).run([(case, volume)]))
    np.testing.assert_array_equal(volume.image, before)
    assert recipe.length == (4, 4)


def sizes_of_batches(forward=identity):
    """A forward function that notes how many samples it was given."""
    seen = []

    def counting(batch):
        seen.append(len(batch.windows))
        return forward(batch)

    return seen, counting


def test_batches_hold_at_most_so_many_voxels():
    seen, forward = sizes_of_batches()
    recipe = Recipe(PLAIN, slice_filter=KEEP_ALL)
    case, volume = scan()  # 6 slices of 8 x 9 voxels
    list(engine(recipe, forward, batch_size=8, max_voxels=2 * 72 + 1).run([(case, volume)]))
    assert seen == [2, 2, 2]
    seen.clear()
    list(engine(recipe, forward, batch_size=8, max_voxels=10).run([(case, volume)]))
    assert seen == [1] * 6  # a sample that is larger goes alone


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_a_batch_that_does_not_fit_into_memory_is_halved(error, caplog):
    def small(batch):
        if len(batch.windows) > 2:
            raise error
        return identity(batch)

    seen, forward = sizes_of_batches(small)
    case, volume = scan()
    [prediction] = engine(Recipe(PLAIN, slice_filter=KEEP_ALL), forward, batch_size=6).run([(case, volume)])
    np.testing.assert_array_equal(prediction.soft[..., 0], native(volume))
    assert max(seen[-2:]) <= 2
    assert "Out of memory with 6 samples per batch; continuing with 3" in caplog.text


def test_a_size_that_does_not_fit_is_tried_once(caplog):
    def small(batch):
        if len(batch.windows) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return identity(batch)

    seen, forward = sizes_of_batches(small)
    case, volume = scan(shape=(4, 4, 11))
    [prediction] = engine(Recipe(PLAIN, slice_filter=KEEP_ALL), forward, batch_size=11).run([(case, volume)])
    np.testing.assert_array_equal(prediction.soft[..., 0], native(volume))
    assert seen == [11, 5, 2, 2, 1, 2, 2, 2]


def test_other_errors_and_single_samples_are_not_tried_again():
    def failing(batch):
        raise RuntimeError("CUDA out of memory" if len(batch.windows) == 1 else "wrong shape")

    recipe = Recipe(PLAIN, slice_filter=KEEP_ALL)
    with pytest.raises(ModelError, match=r"fails on samples of shape \(1, 8, 9\) \(wrong shape\)"):
        list(engine(recipe, failing, batch_size=4).run([scan()]))
    with pytest.raises(MachineError, match="sub-01: out of memory; choose"):
        list(engine(recipe, failing, batch_size=1).run([scan()]))


def test_repeats_are_drawn_anew_and_stay_in_order():
    steps = Pipeline.from_config({"RandomShiftIntensity": {"shift_range": [0.1, 0.5], "prob": 1.0}})
    recipe = Recipe(PLAIN, slice_filter=KEEP_ALL)
    cases = [scan("a", seed=1), scan("b", seed=2)]
    found = list(engine(recipe, identity, steps, repeats=3, batch_size=4).run(cases))
    assert [prediction.case.id for prediction in found] == ["a", "a", "a", "b", "b", "b"]
    assert np.abs(found[0].soft - found[1].soft).max() > 0
    again = list(engine(recipe, identity, steps, repeats=3, batch_size=5).run(cases))
    for one, other in zip(found, again, strict=True):
        np.testing.assert_array_equal(one.soft, other.soft)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_predictions_that_are_no_numbers_name_the_image(value):
    def diverged(batch):
        prediction = np.zeros(batch.image.shape, np.float32)
        prediction[batch.image.numpy() == 7] = value
        return prediction

    good, (case, volume) = scan("sub-01"), scan("sub-02")
    volume.image[0, 3, 2, 1] = 7
    with pytest.raises(ModelError, match=rf"^sub-02_0\.nii\.gz: x\.pt predicts {value:g}.*initial_lr"):
        list(engine(Recipe(PLAIN), diverged, batch_size=16, source="x.pt").run([good, (case, volume)]))


def test_a_patch_that_does_not_fit_has_the_remedy_of_who_applies_the_model():
    recipe = Recipe(PLAIN, length=(32, 32), stride=(32, 32))
    with pytest.raises(DataError, match=r"8x9 voxels after preprocessing: use --no-patch$"):
        list(engine(recipe, patch_remedy="use --no-patch").run([scan()]))


STEPS = {
    "none": {},
    "NormalizeInstance": {"NormalizeInstance": {"applied_to": ["im"]}},
    "on arrays alone": {
        "Clahe": {"clip_limit": 0.5, "kernel_size": [4, 4]},
        "NormalizeInstance": {"applied_to": ["im"]},
    },
    "random": {
        "RandomAffine": {"degrees": 20, "translate": [0.2, 0.2]},
        "RandomReverse": {},
        "RandomGamma": {"log_gamma_range": [-0.5, 0.5], "p": 0.7},
        "NormalizeInstance": {"applied_to": ["im"]},
    },
}


@pytest.mark.parametrize("steps", STEPS.values(), ids=STEPS)
@pytest.mark.parametrize("windows", ["slices", "2D patches"])
def test_transforms_of_whole_batches_give_the_same_prediction(steps, windows):
    def both(batch):  # two classes, from what the network is shown
        return torch.cat((batch.image.sigmoid(), batch.image.tanh()), dim=1)

    recipe = Recipe(PLAIN, **WINDOWS[windows], slice_filter=KEEP_ALL)
    scans = [scan("a"), scan("b", (7, 9, 5), seed=1)]
    options = {"n_classes": 2, "blend": "gaussian", "batch_size": 4, "repeats": 2}
    one, other = (
        list(Engine(recipe, Pipeline.from_config(steps), both, batch_steps=on, **options).run(scans))
        for on in (False, True)
    )
    assert len(one) == len(other) == 4
    for expected, found in zip(one, other, strict=True):
        assert found.case is expected.case
        np.testing.assert_allclose(found.soft, expected.soft, atol=2e-5)


def test_a_network_on_a_gpu_gets_batches_whose_transforms_are_done(monkeypatch):
    """The meta device stands for a GPU; it has no values, but shapes, and tells where a tensor lies."""
    seen = []

    def forward(batch):
        seen.append((batch.image.device.type, tuple(batch.image.shape), batch.steps))
        return torch.ones(batch.image.shape)

    steps = Pipeline.from_config({"NormalizeInstance": {"applied_to": ["im"]}})
    meta, placed = torch.device("meta"), []
    monkeypatch.setattr(module, "has_room", lambda device, n_bytes: placed.append(n_bytes) or True)
    options = {"batch_size": 4, "device": meta, "batch_steps": True}
    tool = Engine(Recipe(PLAIN, slice_filter=KEEP_ALL), steps, forward, 1, **options)
    [prediction] = tool.run([scan()])
    assert seen == [("meta", (4, 1, 8, 9), None), ("meta", (2, 1, 8, 9), None)]
    assert placed == [8 * 9 * 6 * 4]
    assert (prediction.soft == 1).all()


def test_a_network_that_changes_the_size_of_samples_is_named():
    half = lambda batch: batch.image[:, :, ::2].numpy()  # noqa: E731
    with pytest.raises(
        ModelError, match=r"^x\.pt: predicts 4x9 voxels for a sample of 8x9; expected the same size"
    ):
        list(engine(Recipe(PLAIN), half, source="x.pt").run([scan()]))


def test_images_on_two_devices_share_no_batch(monkeypatch):
    """The second image does not fit on the device, so it is moved batch by batch."""
    sizes, room = [], iter([True, False])

    def forward(batch):
        sizes.append((len(batch.image), batch.image.device.type))
        return torch.ones(batch.image.shape)

    monkeypatch.setattr(module, "has_room", lambda device, n_bytes: next(room))
    recipe, options = Recipe(PLAIN, slice_filter=KEEP_ALL), {"batch_size": 4, "device": torch.device("meta")}
    list(Engine(recipe, PLAIN, forward, 1, **options).run([scan("a"), scan("b", seed=1)]))
    assert sizes == [(4, "meta"), (2, "meta"), (4, "meta"), (2, "meta")]


def test_an_image_stays_on_the_cpu_if_its_transforms_are_computed_there(monkeypatch):
    monkeypatch.setattr(module, "has_room", lambda device, n_bytes: pytest.fail("asked for room"))
    steps = Pipeline.from_config({"Clahe": {"clip_limit": 0.5, "kernel_size": [4, 4]}})
    forward = lambda batch: torch.ones(batch.image.shape)  # noqa: E731
    options = {"device": torch.device("meta"), "batch_steps": True}
    list(Engine(Recipe(PLAIN, slice_filter=KEEP_ALL), steps, forward, 1, **options).run([scan()]))


def test_a_batch_whose_transforms_do_not_fit_into_memory_is_halved(monkeypatch):
    def normalize(x):
        if len(x) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return x

    monkeypatch.setattr(intensity_maths, "normalize", normalize)
    steps = Pipeline.from_config({"NormalizeInstance": {"applied_to": ["im"]}})
    case, volume = scan()
    forward = lambda batch: batch.image  # noqa: E731
    tool = Engine(Recipe(PLAIN, slice_filter=KEEP_ALL), steps, forward, 1, batch_size=6, batch_steps=True)
    [prediction] = tool.run([(case, volume)])
    np.testing.assert_array_equal(prediction.soft[..., 0], native(volume))
    assert tool.batch_size <= 2
