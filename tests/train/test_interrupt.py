"""A training told to stop saves behind its step; told twice it stops at once."""

import os
import signal
import threading

import pytest
from transformers import TrainerControl

from loraflow.train import interrupt
from loraflow.train.interrupt import StopOnSignal


def asked_to_stop(stop: StopOnSignal) -> tuple[bool, bool]:
    control = TrainerControl()
    stop.on_step_end(None, None, control)
    return control.should_save, control.should_training_stop


def test_without_a_signal_the_training_goes_on() -> None:
    stop = StopOnSignal()
    with stop.listening():
        assert asked_to_stop(stop) == (False, False)


def test_the_step_is_ended_and_saved_before_the_signal_is_handed_on() -> None:
    stop = StopOnSignal()
    asked = None
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        asked = asked_to_stop(stop)
    assert asked == (True, True)


def test_a_second_signal_stops_at_once() -> None:
    stop = StopOnSignal()
    reached = False
    with pytest.raises(KeyboardInterrupt), stop.listening():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        reached = True
    assert not reached


def test_sigterm_goes_to_whoever_handled_it_before() -> None:
    received: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.append(number))
    try:
        stop = StopOnSignal()
        with stop.listening():
            os.kill(os.getpid(), signal.SIGTERM)
            assert received == []
        assert received == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_processes_that_train_together_stop_when_one_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(interrupt, "gather_object", lambda own: [*own, signal.SIGINT])
    stop = StopOnSignal()
    with pytest.raises(KeyboardInterrupt), stop.listening():
        assert asked_to_stop(stop) == (True, True)


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with StopOnSignal().listening():
        assert signal.getsignal(signal.SIGINT) != before
    assert signal.getsignal(signal.SIGINT) == before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    faults: list[BaseException] = []

    def listen() -> None:
        try:
            with StopOnSignal().listening():
                pass
        except BaseException as error:  # noqa: BLE001 - carried to the test's thread
            faults.append(error)

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    assert faults == []
