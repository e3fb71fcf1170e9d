"""Signals during a training."""

import signal
import threading

import pytest

from ivadomed.errors import Interrupted
from ivadomed.runtime.signals import StopRequest


@pytest.fixture(autouse=True)
def handlers():
    """Own handlers, so that nothing here can end the test run; the old ones come back afterwards."""
    received = []
    before = {
        signum: signal.signal(signum, lambda number, frame: received.append(number))
        for signum in (signal.SIGINT, signal.SIGTERM)
    }
    yield received
    for signum, handler in before.items():
        signal.signal(signum, handler)


def work_within(request, work):
    with request as stop:
        work(stop)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_remembered_until_the_next_check(signum, handlers):
    steps = []

    def work(stop):
        stop.check()
        signal.raise_signal(signum)
        steps.append("ends")  # the step under way continues
        stop.check()
        steps.append("next")

    with pytest.raises(Interrupted, match=f"Stopped by {signum.name}; continue like this") as caught:
        work_within(StopRequest("continue like this"), work)
    assert steps == ["ends"]
    assert caught.value.exit_code == 128 + signum
    assert handlers == []


def test_a_second_signal_acts_at_once(handlers):
    with StopRequest("") as stop:
        signal.raise_signal(signal.SIGTERM)
        assert handlers == []
        signal.raise_signal(signal.SIGTERM)
        assert handlers == [signal.SIGTERM]
        signal.raise_signal(signal.SIGINT)  # the first of its kind
        assert handlers == [signal.SIGTERM]
        assert stop.signum == signal.SIGINT


def test_handlers_come_back_also_after_an_error():
    before = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with StopRequest(""):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before
    with pytest.raises(ZeroDivisionError):
        work_within(StopRequest(""), lambda stop: 1 / 0)
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == before


def test_without_a_signal_nothing_happens():
    with StopRequest("") as stop:
        stop.check()
    assert stop.signum is None


def test_other_threads_leave_the_handlers_alone(handlers):
    before = signal.getsignal(signal.SIGINT)
    seen = []

    def work():
        with StopRequest("") as stop:
            seen.append(signal.getsignal(signal.SIGINT))
            stop.check()
        seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, before]


def test_a_handler_that_python_did_not_install_is_survived(monkeypatch):
    """``signal.signal`` returns None for a handler of an embedding program."""
    real = signal.signal

    def foreign(signum, handler):
        if handler is None:
            raise TypeError("signal handler must be signal.SIG_IGN, signal.SIG_DFL, or a callable object")
        real(signum, handler)

    monkeypatch.setattr(signal, "signal", foreign)

    def work(stop):
        signal.raise_signal(signal.SIGTERM)
        stop.check()

    with pytest.raises(Interrupted):
        work_within(StopRequest(""), work)
