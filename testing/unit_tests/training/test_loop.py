"""The training loop on samples made of random numbers."""

import logging
import math
import multiprocessing
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils._python_dispatch import TorchDispatchMode

from ivadomed.config.schema.run import Architecture
from ivadomed.config.schema.training import TrainingParameters
from ivadomed.errors import ConfigError, Interrupted, ModelError
from ivadomed.geometry.windows import Window
from ivadomed.images.labels import LabelFile
from ivadomed.loader.cases.case import Case
from ivadomed.loader.samples import SampleDataset
from ivadomed.metrics import dice_score
from ivadomed.models import Unet, load_model, save_model
from ivadomed.training import loop
from ivadomed.training.checkpoint import read_checkpoint
from ivadomed.training.loop import Trainer, TrainingResult, train
from ivadomed.training.processes import shards
from ivadomed.transforms import Pipeline

CPU = torch.device("cpu")
ARGUMENTS = {"in_channel": 1, "out_channel": 1, "depth": 1, "n_filters": 2, "dropout_rate": 0.0}
MODEL = Architecture("Unet", ARGUMENTS)
SIZE = 8


def samples(names, per_case=2, seed=0, broken=(), steps=None, **options):
    """Discs of random size; the images of ``broken`` cases hold NaN."""
    rng = np.random.default_rng(seed)
    entries, windows = [], []
    for index, name in enumerate(names):
        grid = np.indices((SIZE, SIZE)) - SIZE / 2
        target = ((grid**2).sum(0) < rng.uniform(4, 12)).astype(np.float32)[None]
        image = target + rng.normal(0, 0.1, target.shape).astype(np.float32)
        if name in broken:
            image[0, 0, 0] = np.nan
        stored = SimpleNamespace(zooms=(1.0, 1.0, 1.0))  # all that samples ask of it
        entries.append(
            SimpleNamespace(stored=stored, read=lambda window, x=image, y=target: (x.astype(np.float32), y))
        )
        windows += [Window(index, (0, 0, z), (SIZE, SIZE, 1)) for z in range(per_case)]
    cases = [Case(name, (Path(name),), targets=((LabelFile(Path("t")),),)) for name in names]
    return SampleDataset(cases, entries, windows, Pipeline.from_config(steps or {}), **options)


def parameters(epochs=2, batch_size=2, **changes):
    content = {
        "batch_size": batch_size,
        "num_workers": 0,
        "precision": "32",
        "training_time": {
            "num_epochs": epochs,
            "early_stopping_patience": 50,
            "early_stopping_epsilon": 1e-9,
        },
        "scheduler": {"initial_lr": 0.01, "lr_scheduler": {"name": "CosineAnnealingLR"}},
    }
    return TrainingParameters.model_validate({**content, **changes})


def stop_early(epochs, patience, epsilon):
    return {
        "num_epochs": epochs,
        "early_stopping_patience": patience,
        "early_stopping_epsilon": epsilon,
    }


@pytest.fixture
def run(tmp_path):
    def run(params, training=None, validation=None, folder="run", model=MODEL, **options):
        training = training or samples(["sub-1", "sub-2"])
        validation = validation or samples(["sub-3"], seed=1)
        return train(model, training, validation, params, tmp_path / folder, CPU, **options)

    return run


def losses(folder, kind):
    events = EventAccumulator(str(folder)).Reload()
    return {event.step: event.value for event in events.Scalars(f"losses/{kind}_loss")}


def state(path):
    return torch.load(path, weights_only=True)["state_dict"]


def script_validation(monkeypatch, values):
    """Let the validation give these losses (and Dice losses ten above them) in turn."""
    sequence = iter(values)

    def validate(self, epoch, monitor, stop):
        value = next(sequence)
        return loop._Means(value, value + 10)

    monkeypatch.setattr(Trainer, "_validate", validate)


def test_a_training_learns_and_writes_its_files(run, tmp_path):
    result = run(parameters(epochs=15), metric_fns=[dice_score])
    names = {p.name for p in (tmp_path / "run").iterdir() if p.is_file()}
    assert {"checkpoint.pth.tar", "best_model.pt", "final_model.pt"} <= names
    assert not [n for n in names if n.startswith(".")]
    training = losses(tmp_path / "run", "train")
    assert list(training) == list(range(1, 16))
    assert training[15] < training[1] - 0.05
    # The loss is the Dice loss here: both pairs of numbers agree, and are those of one epoch.
    assert result.training_dice == result.training_loss
    assert result.validation_dice == result.validation_loss
    validation = losses(tmp_path / "run", "val")
    best = min(validation, key=validation.get)
    assert result.validation_loss == pytest.approx(validation[best], abs=1e-6)
    assert result.training_loss == pytest.approx(training[best], abs=1e-6)


STEPS = {
    "RandomAffine": {"degrees": 20, "translate": [0.1, 0.1], "applied_to": ["im", "gt"]},
    "RandomReverse": {},
    "RandomBiasField": {"coefficients": 0.5, "order": 2, "applied_to": ["im"]},
    "AdditiveGaussianNoise": {"std": 0.1, "applied_to": ["im"]},
    "NormalizeInstance": {"applied_to": ["im"]},
}


def test_augmentation_on_the_device_gives_the_losses_of_workers(run, tmp_path):
    for folder, where in (("w", "worker"), ("d", "device"), ("again", "device")):
        sides = (["sub-1", "sub-2", "sub-3"], 0), (["sub-4"], 1)
        training, validation = (samples(n, 4, s, steps=STEPS, augment_on=where) for n, s in sides)
        run(parameters(epochs=4, augment_on=where), training, validation, folder)
    for kind in ("train", "val"):
        of_workers, of_device, again = (losses(tmp_path / folder, kind) for folder in ("w", "d", "again"))
        assert of_device == pytest.approx(of_workers, abs=1e-3)
        assert again == of_device


def test_the_dice_loss_is_reported_whatever_the_loss(run):
    result = run(parameters(loss={"name": "BinaryCrossEntropyLoss"}))
    assert result.training_loss > 0
    assert -1 <= result.training_dice < 0
    assert -1 <= result.validation_dice < 0
    assert result.validation_loss != result.validation_dice


def test_the_best_model_is_that_of_the_lowest_validation_loss(run, tmp_path, monkeypatch):
    script_validation(monkeypatch, [3.0, 1.0, 2.0, 1.0])
    kept = {}
    original = Trainer._save_checkpoint

    def spy(self, epoch):
        kept[epoch] = {key: value.clone() for key, value in self.model.state_dict().items()}
        original(self, epoch)

    monkeypatch.setattr(Trainer, "_save_checkpoint", spy)
    result = run(parameters(epochs=4))
    assert (result.validation_loss, result.validation_dice) == (1.0, 11.0)
    best, final = (state(tmp_path / "run" / name) for name in ("best_model.pt", "final_model.pt"))
    assert all(torch.equal(best[key], kept[2][key]) for key in best)  # epoch 4 equals 2, it is not lower
    assert all(torch.equal(final[key], kept[4][key]) for key in final)
    assert any(not torch.equal(best[key], final[key]) for key in best)


def test_early_stopping_ends_and_says_so(run, tmp_path, monkeypatch, caplog):
    script_validation(monkeypatch, [3.0, 2.0, 2.0005, 2.001, 9.0])
    with caplog.at_level(logging.INFO, "ivadomed"):
        run(parameters(training_time=stop_early(20, 2, 0.001)))
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pth.tar")["epoch"] == 4
    assert "Stopped   after epoch 4" in caplog.text
    assert (tmp_path / "run" / "final_model.pt").is_file()


def test_resuming_a_run_that_stopped_early_trains_no_further(run, tmp_path):
    params = parameters(training_time=stop_early(20, 1, 1e6))
    run(params)
    folder = tmp_path / "run"
    assert read_checkpoint(folder / "checkpoint.pth.tar")["epoch"] == 2
    before = state(folder / "final_model.pt")
    run(params, resume_training=True)
    assert read_checkpoint(folder / "checkpoint.pth.tar")["epoch"] == 2
    after = state(folder / "final_model.pt")
    assert all(torch.equal(before[key], after[key]) for key in before)


def test_resuming_gives_the_numbers_of_an_uninterrupted_run(run, tmp_path):
    # A warm restart does not depend on num_epochs, so a shorter run is the beginning of a longer one.
    schedule = {"initial_lr": 0.01, "lr_scheduler": {"name": "CosineAnnealingWarmRestarts", "T_0": 3}}
    whole = run(parameters(epochs=4, scheduler=schedule, mixup_alpha=0.4), folder="whole")
    run(parameters(epochs=2, scheduler=schedule, mixup_alpha=0.4), folder="halves")
    halves = run(
        parameters(epochs=4, scheduler=schedule, mixup_alpha=0.4), folder="halves", resume_training=True
    )
    assert halves == whole
    a, b = (state(tmp_path / name / "final_model.pt") for name in ("whole", "halves"))
    assert all(torch.equal(a[key], b[key]) for key in a)


SCHEDULES = [
    {"initial_lr": 0.01, "lr_scheduler": {"name": "CosineAnnealingLR"}},
    {"initial_lr": 0.01, "lr_scheduler": {"name": "PolynomialLR"}},
    {"initial_lr": 0.01, "lr_scheduler": {"name": "CyclicLR", "base_lr": 1e-3, "max_lr": 1e-2}},
    {"initial_lr": 0.001, "lr_scheduler": {"name": "OneCycleLR", "max_lr": 0.01}},
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s["lr_scheduler"]["name"])
def test_an_interrupted_run_continues_with_all_its_state(run, tmp_path, monkeypatch, schedule):
    params = parameters(
        epochs=4,
        scheduler=schedule,
        batch_size=1,
        accumulate_batches=3,
        ema_decay=0.5,
        gradient_clipping=0.1,
        optimizer={"name": "SGD"},
    )
    whole = run(params, folder="whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop, "StopRequest", StopAfter(15))  # an epoch has 4 training and 2 validation steps
        with pytest.raises(Interrupted):
            run(params, folder="halves")
    assert run(params, folder="halves", resume_training=True) == whole
    for name in ("best_model.pt", "final_model.pt"):
        a, b = (state(tmp_path / folder / name) for folder in ("whole", "halves"))
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_the_averaged_weights_are_validated_and_saved(run, tmp_path, monkeypatch):
    validated = []
    validate = Trainer._validate

    def spy(self, *args):
        validated.append({key: value.clone() for key, value in self.model.state_dict().items()})
        return validate(self, *args)

    monkeypatch.setattr(Trainer, "_validate", spy)
    run(parameters(epochs=1, ema_decay=0.9))
    checkpoint = read_checkpoint(tmp_path / "run" / "checkpoint.pth.tar")["optimization"]
    average, trained = checkpoint["average"]["weights"], checkpoint["model"]
    assert any(not torch.equal(average[key], trained[key]) for key in average)
    for weights in (
        validated[0],
        *(state(tmp_path / "run" / n) for n in ("best_model.pt", "final_model.pt")),
    ):
        assert all(torch.equal(weights[key], average[key]) for key in average)


def test_a_network_with_predictions_at_several_resolutions_trains_on_all_of_them(run):
    sizes = {"depth": 3, "n_filters": 2, "n_blocks": [1] * 4, "strides": [[2, 2], [2, 2], [1, 1]]}
    model = Architecture("ResidualEncoderUnet", sizes)
    result = run(parameters(epochs=1), model=model)
    # Trained on the mean over resolutions, reported on the full one; validated on that alone.
    assert result.training_loss != result.training_dice
    assert result.validation_loss == result.validation_dice


def test_compilation_is_asked_for(run, monkeypatch):
    asked = []
    monkeypatch.setattr(loop, "compile_network", lambda model, device: asked.append((type(model), device)))
    run(parameters(epochs=1))
    assert not asked
    run(parameters(epochs=1, compile=True), folder="compiled")
    assert asked == [(Unet, CPU)]


def test_resuming_under_another_configuration_names_the_keys(run):
    run(parameters(), configuration={"a": {"size": (1, 2)}, "same": 0, "gone": 1})
    now = {"a": {"size": (1, 3)}, "same": 0, "new": True}
    with pytest.raises(ConfigError) as caught:
        run(parameters(), configuration=now, resume_training=True)
    message = str(caught.value)
    assert "checkpoint.pth.tar: was trained under another configuration" in message
    assert (
        "a.size was [1, 2] and is [1, 3]; gone was 1 and is not there; new was not there and is True"
        in message
    )
    assert "same" not in message.split(". Resume")[0]


def test_resuming_cannot_undo_epochs(run):
    run(parameters(epochs=3))
    with pytest.raises(ConfigError, match=r"num_epochs: 2, but .*checkpoint.pth.tar has 3 epochs already"):
        run(parameters(epochs=2), resume_training=True)


def test_a_loss_that_is_no_number_names_the_cases_of_the_batch(run, tmp_path):
    broken = samples(["sub-1", "sub-2", "sub-3"], broken=["sub-2"])
    with pytest.raises(ModelError, match=r"the loss became nan on a batch of .*sub-2.*initial_lr") as caught:
        run(parameters(batch_size=1), training=broken)
    assert "sub-1" not in str(caught.value)
    assert not (tmp_path / "run" / "checkpoint.pth.tar").exists()


def test_a_loss_that_raises_of_what_is_not_a_number_says_the_same(run):
    broken = samples(["sub-1", "sub-2"], broken=["sub-2"])
    loss = {"name": "torch.nn:BCELoss"}
    with pytest.raises(ModelError, match=r"the loss became nan on a batch of sub-2"):
        run(parameters(batch_size=1, loss=loss), training=broken)


def test_a_loss_that_raises_of_anything_else_keeps_its_error(run, monkeypatch):
    def fails(*_):
        raise ZeroDivisionError("a fault of the loss")

    monkeypatch.setattr(loop.DeepSupervisionLoss, "forward", fails)
    with pytest.raises(ZeroDivisionError, match="a fault of the loss"):
        run(parameters())


@pytest.mark.parametrize("augment_on", ["worker", "device"])
def test_a_step_reads_its_losses_once(tmp_path, augment_on):
    """Each number that the loop asks for would make it wait for a GPU; the one list of them is not counted here."""

    class Reads(TorchDispatchMode):
        count = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            Reads.count += func.overloadpacket is torch.ops.aten._local_scalar_dense
            return func(*args, **(kwargs or {}))

    steps = {"RandomGamma": {"log_gamma_range": [-0.3, 0.3]}, "NormalizeInstance": {}}
    training = samples(["sub-1", "sub-2"], steps=steps, augment_on=augment_on)
    # torch keeps the step numbers of Adam on the host, where reading them costs nothing.
    params = parameters(optimizer={"name": "SGD"}, ema_decay=0.9, gradient_clipping=1.0)
    trainer = Trainer(MODEL, training, samples(["sub-3"]), params, tmp_path, CPU)
    [first, *_] = shards(trainer.train_batches)
    with Reads():
        *_, loss, dice = trainer._train_batch(first, torch.Generator())
    assert Reads.count == 0
    assert math.isfinite(loss + dice)


def test_a_validation_loss_that_is_no_number_names_the_validation_case(run):
    with pytest.raises(ModelError, match=r"the loss became nan on a batch of val-2[.;]"):
        run(parameters(batch_size=1), validation=samples(["val-1", "val-2", "val-3"], broken=["val-2"]))


@pytest.mark.parametrize(("batch_size", "steps"), [(2, 2), (1, 4)])
def test_a_cyclic_learning_rate_steps_per_batch(run, tmp_path, batch_size, steps):
    schedule = {"initial_lr": 0.01, "lr_scheduler": {"name": "CyclicLR", "base_lr": 1e-4, "max_lr": 1e-2}}
    run(parameters(epochs=3, batch_size=batch_size, scheduler=schedule))
    rates = EventAccumulator(str(tmp_path / "run")).Reload().Scalars("learning_rate")
    # The first half of a cycle has 2000 steps, in which the rate climbs evenly.
    expected = [1e-4 + (1e-2 - 1e-4) * epoch * steps / 2000 for epoch in (1, 2, 3)]
    assert [rate.value for rate in rates] == pytest.approx(expected, rel=1e-5)


def test_a_cosine_steps_per_epoch_and_its_rate_is_the_epoch_s(run, tmp_path):
    run(parameters(epochs=4))
    rates = EventAccumulator(str(tmp_path / "run")).Reload().Scalars("learning_rate")
    expected = [0.01 * (1 + math.cos(math.pi * k / 4)) / 2 for k in range(4)]
    assert [rate.value for rate in rates] == pytest.approx(expected, rel=1e-5)


def test_mixup_mixes_training_batches_only(run, monkeypatch):
    seen = []

    def mix(image, target, alpha, debugging, folder, generator):
        assert not debugging
        seen.append((len(image), alpha, target.dtype))
        return image * 0.5, target * 0.5

    monkeypatch.setattr(loop, "mixup", mix)
    plain = run(parameters(epochs=1), folder="plain")
    assert not seen
    mixed = run(parameters(epochs=1, mixup_alpha=0.4), folder="mixed")
    assert seen == [(2, 0.4, torch.float32)] * 2  # 4 training samples in batches of 2; none for validation
    assert mixed.training_loss != plain.training_loss


def test_mixup_trains(run):
    result = run(parameters(epochs=3, mixup_alpha=0.4))
    assert all(map(math.isfinite, result))


@pytest.fixture
def pretrained(tmp_path):
    torch.manual_seed(5)
    save_model(tmp_path / "old.pt", Unet(**ARGUMENTS), "Unet", ARGUMENTS)
    return tmp_path / "old.pt"


def transfer(path, fraction, reset=False):
    return {"retrain_model": str(path), "retrain_fraction": fraction, "reset": reset}


def test_transfer_learning_freezes_the_first_layers_and_names_them(run, tmp_path, pretrained, caplog):
    with caplog.at_level(logging.INFO, "ivadomed"):
        run(parameters(transfer_learning=transfer(pretrained, 0.5)))
    frozen = [
        record.getMessage().removeprefix("Frozen: ") for record in caplog.records if "Frozen" in record.msg
    ]
    old, new = state(pretrained), state(tmp_path / "run" / "final_model.pt")
    trainable = [name for name, _ in load_model(pretrained).named_parameters()]
    assert frozen
    assert frozen == trainable[: len(frozen)]
    for name in trainable:
        assert torch.equal(old[name], new[name]) == (name in frozen), name
    assert str(pretrained) in caplog.text


def test_transfer_learning_starts_from_the_weights_unless_reset(run, tmp_path, pretrained):
    tiny = {"initial_lr": 1e-9, "lr_scheduler": {"name": "CosineAnnealingLR"}}
    old = state(pretrained)
    for reset in (False, True):
        params = parameters(epochs=1, transfer_learning=transfer(pretrained, 1.0, reset), scheduler=tiny)
        run(params, folder=f"reset-{reset}")
        new = state(tmp_path / f"reset-{reset}" / "final_model.pt")
        weights = [name for name in old if name.endswith("weight") and old[name].ndim == 4]
        close = [torch.allclose(old[name], new[name], atol=1e-6) for name in weights]
        assert not any(close) if reset else all(close)


def test_a_pretrained_model_of_another_architecture_is_refused_before_training(run, tmp_path, pretrained):
    """What is saved carries the arguments of the configuration: they have to fit the weights."""
    params = parameters(epochs=1, transfer_learning=transfer(pretrained, 1.0))
    with pytest.raises(ModelError, match=r"old.pt"):
        run(params, model=Architecture("Unet", {**ARGUMENTS, "n_filters": 4}))
    assert not (tmp_path / "run" / "best_model.pt").exists()


def test_nothing_left_to_train_is_an_error_for_the_user(run, pretrained):
    with pytest.raises((ConfigError, ModelError), match="retrain_fraction"):
        run(parameters(epochs=1, transfer_learning=transfer(pretrained, 0.0)))


def test_the_same_seed_gives_the_same_run_and_another_one_another(run):
    first, second = run(parameters(), folder="a"), run(parameters(), folder="b")
    assert first == second
    assert run(parameters(seed=1), folder="c") != first


class StopAfter:
    """Stands in for ``StopRequest``: a signal arrives after some steps."""

    def __init__(self, steps):
        self.left = steps

    def __call__(self, advice):
        self.advice = advice
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def check(self):
        self.left -= 1
        if self.left == 0:
            raise Interrupted(self.advice, 15)


def test_a_run_that_is_stopped_before_its_first_checkpoint_is_not_to_be_resumed(run, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "StopRequest", StopAfter(2))
    with pytest.raises(Interrupted, match=r"no epoch is finished.*the same command starts again") as stopped:
        run(parameters(epochs=10))
    assert "--resume-training" not in str(stopped.value)
    assert not (tmp_path / "run" / "checkpoint.pth.tar").exists()
    assert not (tmp_path / "run" / "best_model.pt").exists()


def test_an_interrupted_run_keeps_its_last_epoch_and_its_events(run, tmp_path, monkeypatch):
    closed = []
    original = loop.Monitor.close
    monkeypatch.setattr(loop.Monitor, "close", lambda self: closed.append(self) or original(self))
    # An epoch has 2 training and 1 validation steps; the signal comes in the sixth epoch.
    monkeypatch.setattr(loop, "StopRequest", StopAfter(16))
    with pytest.raises(Interrupted, match=r"--resume-training .*checkpoint.pth.tar"):
        run(parameters(epochs=10))
    assert read_checkpoint(tmp_path / "run" / "checkpoint.pth.tar")["epoch"] == 5
    assert not (tmp_path / "run" / "final_model.pt").exists()
    assert len(closed) == 1  # TensorBoard loses what is not flushed when the process ends
    assert list(losses(tmp_path / "run", "train")) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("soft_gt", [True, False])
def test_validation_metrics_see_soft_predictions(run, soft_gt):
    seen = []
    validation = samples(["sub-3", "sub-4"], seed=1, soft_gt=soft_gt)
    run(parameters(epochs=1), validation=validation, metric_fns=[lambda p, t: seen.append((p, t)) or 0.0])
    assert len(seen) == 4
    for guess, truth in seen:
        assert guess.dtype == truth.dtype == np.float32
        assert guess.shape == truth.shape == (1, SIZE, SIZE)
        assert len(np.unique(guess)) > 2
        assert set(np.unique(truth)) == {0, 1}


def test_balanced_sampling_applies_to_training_and_validation(tmp_path):
    def labelled(names, filled):
        made = samples(names, per_case=1)
        made.sampling_label = lambda index, metadata: index < filled
        return made

    params = parameters(epochs=1, batch_size=1, balance_samples={"applied": True, "type": "gt"})
    training, validation = labelled("abcdefgh", 2), labelled("ABCDEFGHIJKL", 3)
    trainer = Trainer(MODEL, training, validation, params, tmp_path, CPU, [])
    places = [window.case for batch in trainer.val_batches for window in batch.windows]
    assert len(places) == 12
    assert [places.count(place) for place in range(3)] == [2, 2, 2]
    assert max(places.count(place) for place in range(3, 12)) == 1
    assert places == [window.case for batch in trainer.val_batches for window in batch.windows]
    assert trainer.sampler.weights.tolist() == [1 / 2] * 2 + [1 / 6] * 6
    plain = Trainer(MODEL, training, validation, parameters(), tmp_path, CPU, [])
    assert [window.case for batch in plain.val_batches for window in batch.windows] == list(range(12))


def test_a_result_before_any_epoch_is_infinite():
    assert set(TrainingResult()) == {math.inf}


def test_loading_processes_end_with_the_training_even_if_something_holds_it(tmp_path):
    params = parameters(epochs=1, num_workers=1)
    trainer = Trainer(MODEL, samples(["a", "b"]), samples(["c"]), params, tmp_path, CPU, [dice_score])
    trainer.fit()
    assert multiprocessing.active_children() == []


def ignoring(data, garbage):
    """The samples with a column of ignored voxels, where the label is `garbage`."""
    for entry in data.entries:
        image, target = entry.read(None)
        ignore = np.zeros_like(target)
        ignore[..., 2:4] = 1
        whole = np.concatenate([np.where(ignore > 0, garbage, target), ignore]).astype(np.float32)
        entry.read = lambda window, x=image, y=whole: (x, y)
    data.ignores = True
    return data


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"loss": {"name": "FocalDiceLoss"}},
        {"mixup_alpha": 0.4},
        {"augment_on": "device"},
        {"deep": True},
    ],
    ids=str,
)
def test_labels_of_ignored_voxels_change_nothing(run, tmp_path, options):
    deep, where = options.pop("deep", False), options.get("augment_on", "worker")
    model = MODEL
    if deep:
        arguments = {"n_filters": 2, "depth": 2, "deep_supervision": True}
        model = Architecture("ResidualEncoderUnet", {"in_channel": 1, "out_channel": 1, **arguments})
    steps = {
        name: step for name, step in STEPS.items() if name != "RandomAffine"
    }  # which blurs what it moves
    results = []
    for folder, garbage in (("a", 0), ("b", 1)):
        sides = (["sub-1", "sub-2", "sub-3"], 0), (["sub-4"], 1)
        training, validation = (
            ignoring(samples(n, 4, s, steps=steps, augment_on=where), garbage) for n, s in sides
        )
        params = parameters(epochs=2, **options)
        results.append(run(params, training, validation, folder, model, metric_fns=[dice_score]))
    assert results[0] == results[1]
    assert math.isfinite(results[0].validation_loss)
    a, b = (state(tmp_path / name / "final_model.pt") for name in ("a", "b"))
    assert all(torch.equal(a[key], b[key]) for key in a)
    metrics = [EventAccumulator(str(tmp_path / name)).Reload() for name in ("a", "b")]
    a, b = ([event.value for event in one.Scalars("Validation/Metrics/dice_score")] for one in metrics)
    assert a == b
    counted = run(parameters(epochs=2, **options), folder="all", model=model)
    assert counted != results[0]


def test_a_batch_of_ignored_voxels_teaches_nothing(run, tmp_path):
    data = ignoring(samples(["sub-1"]), 0)
    for entry in data.entries:
        _, labels = entry.read(None)
        labels[-1] = 1
    result = run(parameters(epochs=1), data, data)
    assert (result.training_loss, result.validation_loss) == (0.0, 0.0)
