"""Trigger messages of the photo-eye as requests: whose they are, how late they are, and whose clock is believed."""

import time
from collections.abc import Iterable

import numpy as np
import pytest

from cmfm_cameras.errors import DeviceError, Refusal, RefusedCaptureError
from cmfm_cameras.vendor.requested import RequestedDevice, Taken
from cmfm_cameras.vendor.shots import Shots
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.trigger import TriggerMessage, encode_trigger

TOPIC = topic("line1", "station1", "trigger")
STREAM = "0" * 32


def message(seq: int, age_s: float = 0.0, *, stream: str = STREAM, clock: str = "realtime") -> list[bytes]:
    """What a photo-eye publishes for a part whose exposure was due so long ago."""
    trigger_ns = time.time_ns() - round(age_s * 1e9)
    trigger = TriggerMessage(
        stream_uuid=stream,
        seq=seq,
        part_id=f"p{seq}",
        trigger_ns=trigger_ns,
        deadline_ms=1000.0,
        recipe="",
        clock="none" if clock == "none" else "realtime",
    )
    return encode_trigger(TOPIC, trigger)


class Eye:
    """A photo-eye whose messages a test writes."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []

    def wait(self, timeout_s: float) -> None:
        """Wait for nothing."""
        time.sleep(min(timeout_s, 0.001))

    def messages(self) -> Iterable[list[bytes]]:
        """Hand over what was sent."""
        while self.sent:
            yield self.sent.pop(0)


def test_requests_come_in_order_with_their_age() -> None:
    """The time of the exposure counts, also one that is to come."""
    eye = Eye()
    shots = Shots(eye, STREAM)
    eye.sent = [message(4, 0.3), message(5, -0.9)]
    first, second = shots.next(1), shots.next(1)
    assert first is not None
    assert second is not None
    assert (first.trigger.seq, first.trigger.part_id) == (4, "p4")
    assert 0.3 <= first.age_s < 9
    assert -0.9 <= second.age_s < 0
    assert shots.next(0.0) is None


def test_other_streams_and_garbage_are_counted_and_ask_for_nothing() -> None:
    """Another camera of the station, this camera before its restart, and what a stranger sends."""
    eye = Eye()
    shots = Shots(eye, STREAM)
    damaged = message(1)
    damaged[1] = damaged[1][:-1] + b"x"
    eye.sent = [message(0, stream="f" * 32), damaged, [TOPIC], [TOPIC, b"", b"", b""], message(2)]
    shot = shots.next(1)
    assert shot is not None
    assert shot.trigger.seq == 2
    assert shots.take_counts() == {"shot_other_stream": 1, "shot_damaged": 3}
    assert shots.take_counts() == {}


@pytest.mark.parametrize("off_s", [-7200.0, 7200.0, 1e9])
def test_a_wrong_clock_is_not_believed(off_s: float) -> None:
    """Nobody waits two hours for an exposure, and no fresh request is two hours old."""
    eye = Eye()
    shots = Shots(eye, STREAM)
    eye.sent = [message(0, off_s)]
    shot = shots.next(1)
    assert shot is not None
    assert 0 <= shot.age_s < 60
    assert shots.take_counts() == {"shot_clock_wrong": 1}


@pytest.mark.parametrize(("off_s", "clock"), [(7200.0, "realtime"), (0.0, "none")])
def test_without_a_clock_a_request_is_as_old_as_it_can_be(off_s: float, clock: str) -> None:
    """One that may have waited while the camera was busy counts as having waited all that time."""
    eye = Eye()
    shots = Shots(eye, STREAM)
    assert shots.next(0.0) is None
    time.sleep(0.2)
    eye.sent = [message(0, off_s, clock=clock)]
    shot = shots.next(1)
    assert shot is not None
    assert shot.age_s >= 0.2


class Still:
    """A camera of one picture. `broken` is raised by the next frame."""

    name = "still"

    def __init__(self) -> None:
        self.broken: Exception | None = None
        self.took_s: list[float] = []

    def take(self) -> Taken:
        """Take the picture."""
        self.took_s.append(time.time())
        if self.broken is not None:
            raise self.broken
        return Taken(np.zeros((2, 2, 3), np.uint8), np.ones((2, 2, 3), np.float32))

    def close(self) -> None:
        """Nothing is open."""


def fired(late_s: float = 5.0) -> tuple[RequestedDevice, Still, Eye]:
    """A camera that a photo-eye fires."""
    source, eye = Still(), Eye()
    device = RequestedDevice(source, period_s=0.001)
    device.fire_by(Shots(eye, STREAM), late_s)
    return device, source, eye


def test_a_fired_camera_takes_what_was_asked_for_and_nothing_else() -> None:
    """Under the request's number and part id, at the time of the exposure; never by the period."""
    device, source, eye = fired()
    assert device.capture(0.02) is None
    eye.sent = [message(7, -0.3)]
    due_s = time.time() + 0.3
    capture = device.capture(1)
    assert capture is not None
    assert (capture.seq, capture.part_id, capture.frame_id) == (7, "p7", None)
    assert source.took_s[0] >= due_s - 0.05
    assert len(source.took_s) == 1


def test_a_part_that_has_moved_on_is_not_imaged() -> None:
    """The camera was busy: the number is used, and no picture of the next part is shown as this one's."""
    device, source, eye = fired(late_s=0.2)
    eye.sent = [message(7, 3.0), message(8, -0.9)]
    with pytest.raises(RefusedCaptureError, match="late_s") as caught:
        device.capture(1)
    assert (caught.value.reason, caught.value.seq, caught.value.part_id) == (Refusal.LATE, 7, "p7")
    assert source.took_s == []
    capture = device.capture(1)
    assert capture is not None
    assert capture.seq == 8


def test_a_request_that_fails_uses_its_number_and_opens_the_camera_again() -> None:
    """The part is named; later requests are the next device's."""
    device, source, eye = fired()
    source.broken = DeviceError("gone")
    eye.sent = [message(7), message(8)]
    with pytest.raises(RefusedCaptureError) as caught:
        device.capture(1)
    assert (caught.value.reason, caught.value.seq, caught.value.part_id) == (Refusal.INCOMPLETE, 7, "p7")
    with pytest.raises(DeviceError):
        device.capture(1)
    assert len(source.took_s) == 1
