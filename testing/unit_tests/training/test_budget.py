"""A budget in time: the number of epochs, and the training that follows from it."""

import logging

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ivadomed.config.schema.training import TrainingParameters, TrainingTime
from ivadomed.errors import Interrupted
from ivadomed.training import loop
from ivadomed.training.budget import Budget, planned_epochs
from ivadomed.training.checkpoint import read_checkpoint, save_checkpoint
from ivadomed.training.loop import Trainer
from ivadomed.training.rehearsal import read_rehearsal
from testing.unit_tests.training.test_loop import CPU, MODEL, SCHEDULES, StopAfter, parameters, samples, state


class Clock:
    """A clock that goes when it is told to."""

    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def follow(time, rehearsed, epochs, preparation=0.0):
    """Budget at the end of a training whose epochs take so many seconds, and the epoch that decided."""
    clock, decided = Clock(), None
    budget = Budget(time, clock, clock())
    clock.now += preparation
    budget.rehearsed(rehearsed)
    budget.begin()
    done = 0
    while done < budget.epochs:
        clock.now += epochs(done + 1)
        done += 1
        budget.ended()
        decided = decided or (done if budget.is_final else None)
    return budget, decided, clock.now - 1000.0


TEN_MINUTES = TrainingTime(max_minutes=10)


def test_a_rehearsal_that_was_right_decides():
    budget, decided, took = follow(TEN_MINUTES, 10.0, lambda epoch: 10.0)
    assert budget.history == {1: 57}  # 0.95 * 600 s / 10 s
    assert (decided, took) == (3, 570.0)  # a twentieth of the budget is 30 s


def test_the_first_epochs_correct_a_rehearsal_once():
    budget, decided, took = follow(TEN_MINUTES, 10.0, lambda epoch: 20.0 if epoch == 1 else 12.0)
    assert decided == 2  # after 32 s
    assert budget.history == {
        1: 57,
        3: 2 + 46,
    }  # (0.98 * 600 s - 32 s) / 12 s, the first epoch does not count
    assert took == 32.0 + 46 * 12.0
    budget, _, took = follow(TEN_MINUTES, 10.0, lambda epoch: 5.0)
    assert budget.history == {1: 57, 7: 6 + 111}
    assert took == 117 * 5.0


def test_preparation_is_part_of_the_budget():
    budget, _, took = follow(TEN_MINUTES, 10.0, lambda epoch: 10.0, preparation=300.0)
    assert budget.history == {1: 27}
    assert took == 300.0 + 270.0


def test_an_epoch_longer_than_the_budget_is_trained_and_said(caplog):
    with caplog.at_level(logging.INFO, "ivadomed"):
        budget, decided, _ = follow(TEN_MINUTES, 2000.0, lambda epoch: 2000.0)
    assert (budget.epochs, decided) == (1, 1)
    assert follow(TrainingTime(max_minutes=100), 900.0, lambda epoch: 900.0)[1] == 1  # long enough to tell
    assert "Epochs    1, at 33 min each: longer than max_minutes (10 min), but the minimum" in caplog.text


def test_num_epochs_is_a_bound_where_it_is_given(caplog):
    both = TrainingTime(max_minutes=10, num_epochs=20)
    with caplog.at_level(logging.INFO, "ivadomed"):
        budget, _, took = follow(both, 10.0, lambda epoch: 10.0)
    assert budget.history == {1: 20}
    assert took == 200.0
    assert "20, at 10 s each: num_epochs, which ends before max_minutes (10 min)" in caplog.text
    assert follow(both, 10.0, lambda epoch: 60.0)[0].epochs == 9


def test_a_slower_machine_is_said_once_and_changes_nothing(caplog):
    budget, _, took = follow(TEN_MINUTES, 10.0, lambda epoch: 10.0 if epoch < 30 else 20.0)
    assert budget.epochs == 57
    assert took > 600.0
    assert caplog.text.count("max_minutes: 10, but epochs now take") == 1
    assert "the training will end after 14 min; their number (57) stays" in caplog.text


@given(
    minutes=st.floats(0.05, 3000.0),
    pace=st.floats(0.01, 5000.0),
    error=st.floats(0.2, 5.0),
    preparation=st.floats(0.0, 0.5),
)
def test_the_budget_is_used_and_kept(minutes, pace, error, preparation):
    seconds = 60 * minutes
    pace = max(pace, seconds / 2000)
    budget, decided, took = follow(
        TrainingTime(max_minutes=minutes), error * pace, lambda epoch: pace, preparation * seconds
    )
    assert budget.is_final
    assert len(budget.history) <= 2
    assert took <= seconds or budget.epochs == decided <= 2
    assert took + 1.01 * pace >= 0.95 * seconds


def test_a_section_with_minutes_alone_has_no_number_of_epochs():
    time = TrainingTime(max_minutes=5)
    assert time.num_epochs is None
    assert TrainingTime.model_validate_json(time.model_dump_json()) == time
    with pytest.raises(
        ValueError, match="num_epochs: null; expected an integer, unless max_minutes is given"
    ):
        TrainingTime(num_epochs=None)
    cycle = {"lr_scheduler": {"name": "OneCycleLR", "total_steps": 9}}
    with pytest.raises(ValueError, match="total_steps: leave it out; the cycle is as long as max_minutes"):
        TrainingParameters(training_time={"max_minutes": 5}, scheduler=cycle)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Trains; a training batch takes 2 s and one of validation 1 s, each after `slow` of them twice as long."""
    clock = Clock()
    seen = {"slow": 10**9}

    def batch_takes(method, seconds):
        original = getattr(Trainer, method)

        def timed(self, *args):
            seen["slow"] -= 1
            clock.now += seconds if seen["slow"] >= 0 else 2 * seconds
            return original(self, *args)

        monkeypatch.setattr(Trainer, method, timed)

    batch_takes("_train_batch", 2.0)
    batch_takes("_validate_batch", 1.0)

    def run(folder, time, resume=False, slow=10**9, set_up=0.0, **changes):
        seen["slow"] = slow
        started, clock.now = clock.now, clock.now + set_up
        params = parameters(batch_size=1, training_time={"early_stopping_epsilon": 0, **time}, **changes)
        (tmp_path / folder).mkdir(exist_ok=True)
        sides = samples(["sub-1", "sub-2"]), samples(["sub-3"], seed=1)
        trainer = Trainer(MODEL, *sides, params, tmp_path / folder, CPU, clock=clock, started=started)
        if resume:
            trainer.resume()
        trainer.plans, trainer.rates = [], []
        learn = trainer.optimization.learn

        def noted(loss, step):
            if trainer.budget.epochs is not None:
                trainer.rates.append(trainer.optimization.learning_rate)
            learn(loss, step)

        monkeypatch.setattr(trainer.optimization, "learn", noted)
        trainer.fit(on_plan=lambda history: trainer.plans.append(dict(history)))
        return trainer

    return run


def weights(folder):
    return state(folder / "final_model.pt")


def same(one, other):
    return all(torch.equal(one[key], other[key]) for key in one)


@pytest.mark.parametrize("schedule", SCHEDULES[::3], ids=lambda s: s["lr_scheduler"]["name"])
def test_a_budget_gives_the_training_of_its_number_of_epochs(run, tmp_path, schedule):
    options = {"scheduler": schedule, "ema_decay": 0.5, "mixup_alpha": 0.4}
    # An epoch of 4 training and 2 validation batches takes 10 s; the rehearsal has 2 of each, which take 6 s.
    # A worker that the rehearsal leaves in the middle of a pass begins the first epoch from its start.
    trainer = run("minutes", {"max_minutes": 1}, num_workers=1, **options)
    assert trainer.plans == [{1: 5}]  # (0.95 * 60 s - 6 s) / 10 s
    run("epochs", {"num_epochs": 5}, **options)
    assert same(weights(tmp_path / "minutes"), weights(tmp_path / "epochs"))
    one, other = (read_checkpoint(tmp_path / f / "checkpoint.pth.tar") for f in ("minutes", "epochs"))
    assert one["optimization"]["scheduler"] == other["optimization"]["scheduler"]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: s["lr_scheduler"]["name"])
def test_a_corrected_schedule_is_that_of_the_right_number_from_then_on(run, schedule):
    corrected = run("minutes", {"max_minutes": 2}, slow=4, scheduler=schedule)
    assert corrected.plans == [{1: 10}, {1: 10, 3: 5}]  # 2 + (0.98 * 120 s - 46 s) / 20 s
    expected = run("epochs", {"num_epochs": 5}, scheduler=schedule)
    assert len(expected.rates) == 5 * 4
    assert corrected.rates[-12:] == expected.rates[-12:]
    if schedule["lr_scheduler"]["name"] == "OneCycleLR":
        assert corrected.rates[-1] == pytest.approx(0.001 / 1e4)  # the lowest of all, at the last update


@pytest.mark.parametrize(
    ("after", "schedule"),
    [(8, SCHEDULES[3]), (13, SCHEDULES[3]), (23, SCHEDULES[3]), (13, SCHEDULES[1])],
    ids=["rehearsed", "before the decision", "after it", "per epoch"],
)
def test_an_interruption_changes_no_number(run, tmp_path, monkeypatch, schedule, after):
    # The rehearsal has 4 batches, an epoch 6; from the second epoch on they take twice as long.
    time, options = {"max_minutes": 1.84}, {"scheduler": schedule}
    whole = run("whole", time, slow=10, **options)
    assert whole.budget.history == {1: 9, 3: 2 + 3}  # (0.98 * 110.4 s - 36 s) / 20 s
    with monkeypatch.context() as patch:
        patch.setattr(loop, "StopRequest", StopAfter(after))
        with pytest.raises(Interrupted):
            run("halves", time, slow=10, **options)
    resumes = after > 10  # else there is no checkpoint yet, but the number of the rehearsal
    halves = run("halves", time, resume=resumes, slow=0 if resumes else 6, set_up=25.0, **options)
    assert halves.plans[-1] == whole.budget.history
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "halves"))


def test_a_number_found_before_the_first_checkpoint_stays(run, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(loop, "StopRequest", StopAfter(6))
        with pytest.raises(Interrupted):
            run("run", {"max_minutes": 1})
    assert run("run", {"max_minutes": 1}, slow=0).plans[0] == {1: 5}  # a rehearsal at this pace gives 2
    assert read_rehearsal(tmp_path / "run", {})["history"] == {1: 5}
    assert read_rehearsal(tmp_path / "run", {"task": "another"}) is None


def test_a_larger_budget_continues_a_finished_training(run, tmp_path):
    run("run", {"max_minutes": 1})
    checkpoint = tmp_path / "run" / "checkpoint.pth.tar"
    kept = read_checkpoint(checkpoint)["budget"]
    assert planned_epochs(TrainingTime(max_minutes=1), kept) == 5
    assert planned_epochs(TrainingTime(max_minutes=2), kept) is None
    assert planned_epochs(TrainingTime(num_epochs=5), kept) == 5
    trainer = run("run", {"max_minutes": 1.5}, resume=True)
    assert trainer.plans == [{1: 5, 6: 5 + 3}]  # (0.98 * 90 s - 56 s) / 10 s
    assert read_checkpoint(checkpoint)["epoch"] == 8
    run("run", {"num_epochs": 9}, resume=True)
    assert read_checkpoint(checkpoint)["epoch"] == 9


def test_a_training_by_epochs_continues_by_minutes(run, tmp_path):
    run("run", {"num_epochs": 2})
    trainer = run("run", {"max_minutes": 1}, resume=True)
    assert trainer.budget.epochs == 2 + 3  # 20 s are spent


def test_a_checkpoint_that_knows_no_time_continues_by_minutes(run, tmp_path):
    run("run", {"num_epochs": 3})
    checkpoint = tmp_path / "run" / "checkpoint.pth.tar"
    state = read_checkpoint(checkpoint)
    del state["budget"]
    save_checkpoint(checkpoint, state)
    trainer = run("run", {"max_minutes": 1}, resume=True)
    assert trainer.plans == [{4: 3 + 5}]  # (0.95 * 60 s - 6 s) / 10 s
    assert read_checkpoint(checkpoint)["epoch"] == 8
