"""The device's thread: opens, takes captures, opens again, ends in order."""

import threading
from collections.abc import Iterator

import pytest
from tests.unit.made.scripted_device import HangingDevice, ScriptedDevice, capture, openings, wait_until

from cmfm_cameras.device_thread import Arrived, DeviceEvent, DeviceLost, DeviceThread, Ended, Opened, Refused
from cmfm_cameras.errors import DeviceError, InputError, Refusal, RefusedCaptureError


def events(thread: DeviceThread) -> Iterator[DeviceEvent]:
    """Everything that happens until the source ends."""
    thread.start()
    while True:
        event = thread.next_event(30)
        assert event is not None
        yield event
        if isinstance(event, Ended):
            assert thread.stop()
            return


def names(thread: DeviceThread) -> list[str]:
    return [type(event).__name__ for event in events(thread)]


def test_a_lost_device_is_closed_and_opened_again() -> None:
    """Also one that is not there at first, and one that is lost again at once."""
    first = ScriptedDevice([capture(1), None, DeviceError("unplugged")])
    second = ScriptedDevice([DeviceError("unplugged again")])
    third = ScriptedDevice([capture(1)])
    thread = DeviceThread(openings(DeviceError("absent"), first, second, third), reopen_max_s=0.01)
    happened = list(events(thread))
    assert [type(event) for event in happened] == [
        DeviceLost,
        Opened,
        Arrived,
        DeviceLost,
        Opened,
        DeviceLost,
        Opened,
        Arrived,
        Ended,
    ]
    assert [event.was_open for event in happened if isinstance(event, DeviceLost)] == [False, True, True]
    assert [first.closed, second.closed, third.closed] == [1, 1, 1]


def test_wrong_captures_are_refused_one_by_one() -> None:
    """By the adapter, or by the checks that all adapters share; the next one is taken."""
    bad = capture(2)
    bad.xyz[:] = 500.0
    device = ScriptedDevice(
        [RefusedCaptureError(Refusal.OTHER_TRIGGER, "halves of two triggers", frame_id=1), bad, capture(3)]
    )
    happened = list(events(DeviceThread(openings(device), reopen_max_s=0.01)))
    refused = [event.error for event in happened if isinstance(event, Refused)]
    assert [(error.reason, error.frame_id) for error in refused] == [
        (Refusal.OTHER_TRIGGER, 1),
        (Refusal.NOT_METRES, 2),
    ]
    assert sum(isinstance(event, Arrived) for event in happened) == 1


def test_a_bug_of_an_adapter_ends_the_thread_with_its_error() -> None:
    """It is not taken for a lost device, or it would be hidden for ever."""
    device = ScriptedDevice([ZeroDivisionError("a bug")])
    (*_, end) = events(DeviceThread(openings(device), reopen_max_s=0.01))
    assert isinstance(end, Ended)
    assert isinstance(end.error, ZeroDivisionError)
    assert device.closed == 1


def test_settings_that_were_right_once_do_not_end_the_camera() -> None:
    """A device that boots refuses features for a while. Exit code 2 is not started again by systemd."""
    first, second = ScriptedDevice([DeviceError("power cut")]), ScriptedDevice([capture(1)])
    thread = DeviceThread(
        openings(first, InputError("ExposureTime: not writable"), second), reopen_max_s=0.01
    )
    assert names(thread) == ["Opened", "DeviceLost", "DeviceLost", "Opened", "Arrived", "Ended"]


def test_settings_that_are_wrong_at_the_start_end_the_camera() -> None:
    """The user reads why."""
    (end,) = events(DeviceThread(openings(InputError("no feature Gian")), reopen_max_s=0.01))
    assert isinstance(end, Ended)
    assert isinstance(end.error, InputError)


def test_a_device_that_is_told_to_is_opened_again() -> None:
    """For frame ids that cannot be believed."""
    first, second = ScriptedDevice([], idle=True), ScriptedDevice([capture(1)])
    thread = DeviceThread(openings(first, second), reopen_max_s=0.01)
    thread.start()
    assert isinstance(thread.next_event(30), Opened)
    thread.reopen()
    assert [type(thread.next_event(30)) for _ in range(4)] == [DeviceLost, Opened, Arrived, Ended]
    assert thread.stop()


def test_a_full_queue_holds_the_device_and_loses_nothing() -> None:
    """The publisher is slow: frames wait in the device's own buffers, and come in order."""
    device = ScriptedDevice([capture(number) for number in range(40)])
    happened = [
        event.capture.frame_id
        for event in events(DeviceThread(openings(device), reopen_max_s=0.01))
        if isinstance(event, Arrived)
    ]
    assert happened == list(range(40))


def test_the_end_does_not_wait_for_a_driver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is reported, and the age of the call is known meanwhile."""
    monkeypatch.setattr("cmfm_cameras.device_thread.JOIN_LIMIT_S", 0.05)
    device = HangingDevice()
    thread = DeviceThread(openings(device), reopen_max_s=0.01)
    assert thread.call_age_s() == 0.0
    thread.start()
    try:
        wait_until(lambda: thread.call_age_s() > 0.05)
        assert not thread.stop()
    finally:
        device.released.set()
    wait_until(lambda: "device" not in [other.name for other in threading.enumerate()])
    assert device.closed == 1


def test_the_end_is_not_held_by_a_queue_that_nobody_reads() -> None:
    """SIGTERM ends a camera whose publisher has stopped taking events."""
    thread = DeviceThread(openings(ScriptedDevice([capture(n) for n in range(100)])), reopen_max_s=0.01)
    thread.start()
    wait_until(lambda: thread.next_event(0.01) is not None)
    assert thread.stop()
