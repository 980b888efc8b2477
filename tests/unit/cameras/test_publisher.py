"""The publisher on a real socket: every trigger announced, frames sealed, heartbeats that no driver delays."""

import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from tests.unit.made.scripted_device import HangingDevice, ScriptedDevice, capture, openings, wait_until

from cmfm_cameras.device_thread import DeviceThread
from cmfm_cameras.errors import DeviceError, DeviceHungError, Refusal, RefusedCaptureError
from cmfm_cameras.options import options_of
from cmfm_cameras.publisher import Publisher
from cmfm_cameras.settings.camera import CameraSection
from cmfm_client import Camera, CameraOptions, ClientKeys
from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_protocol.wire.frame import Frame, decode_frame
from cmfm_protocol.wire.state import CameraState, decode_camera_state
from cmfm_protocol.wire.trigger import TriggerMessage, decode_trigger


@dataclass
class Heard:
    """The messages that a worker hears of a camera, in order."""

    frames: list[Frame] = field(default_factory=list)
    triggers: list[TriggerMessage] = field(default_factory=list)
    states: list[CameraState] = field(default_factory=list)
    order: list[str] = field(default_factory=list)

    def take(self, message: list[bytes]) -> None:
        kind = message[0].split(b"/")[4].decode()
        if kind == "frame":
            self.frames.append(decode_frame(message))
            self.order.append(f"frame {self.frames[-1].header.seq}")
        elif kind == "trigger":
            self.triggers.append(decode_trigger(message))
            self.order.append(f"trigger {self.triggers[-1].seq}")
        else:
            self.states.append(decode_camera_state(message))


@contextmanager
def worker(endpoint: str) -> Iterator[Heard]:
    """A subscriber in a thread of its own; it has heard the end of the stream when the context is left."""
    heard, stop = Heard(), threading.Event()

    def listen() -> None:
        with zmq.Context() as context, context.socket(zmq.SUB) as socket:
            socket.subscribe(b"")
            socket.connect(endpoint)
            while not stop.is_set() or socket.poll(0):
                if socket.poll(20):
                    heard.take(socket.recv_multipart())

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heard
        wait_until(lambda: any(state.closing for state in heard.states))
    finally:
        stop.set()
        thread.join()


def published(
    tmp_path: Path, *devices: ScriptedDevice | DeviceError, section: CameraSection | None = None
) -> tuple[Heard, Publisher]:
    """Publish all that the devices give, from opening to opening, to a worker."""
    endpoint = f"ipc://{tmp_path}/frames"
    section = (section or CameraSection()).model_copy(update={"endpoint": endpoint})
    with worker(endpoint) as heard, Camera(CameraOptions(endpoint)) as camera:
        thread = DeviceThread(openings(*devices), reopen_max_s=0.01)
        publisher = Publisher(section, camera, thread)
        publisher.run(lambda: False)
        assert thread.stop()
    return heard, publisher


def test_each_frame_is_sealed_and_comes_after_its_trigger(tmp_path: Path) -> None:
    """With the bytes of the capture, the device's state, and the recipe and deadline of the settings."""
    shown = replace(capture(1), encoder=-5, exposure_us=800.0, gain=2.0, temperature_c=40.5, part_id="p1")
    section = CameraSection(recipe="praline", deadline_ms=250.0, calib_id="c1", simulated=True)
    heard, publisher = published(tmp_path, ScriptedDevice([shown, capture(2)]), section=section)
    assert heard.order == ["trigger 0", "frame 0", "trigger 1", "frame 1"]
    first = heard.frames[0]
    assert first.sealed
    assert first.rgb.tobytes() == shown.rgb.tobytes()
    assert first.xyz.tobytes() == shown.xyz.tobytes()
    header = first.header
    assert (header.part_id, header.recipe, header.deadline_ms, header.calib_id) == (
        "p1",
        "praline",
        250.0,
        "c1",
    )
    assert (header.encoder, header.exposure_us, header.gain, header.temperature_c) == (-5, 800.0, 2.0, 40.5)
    assert header.simulated
    assert heard.frames[1].header.part_id == f"station1-{header.stream_uuid[:8]}-1"
    assert publisher.counts.published == 2


def test_what_a_device_says_of_itself_never_stops_the_line(tmp_path: Path) -> None:
    """Numbers of numpy are sent as numbers; what a header cannot carry is left out."""
    numbers: dict[str, Any] = {
        "encoder": np.int64(-7),
        "exposure_us": np.float32(2.5),
        "gain": np.float64(1.5),
        "temperature_c": np.int16(40),
    }
    numpy = replace(capture(1), **numbers)
    wrong = replace(
        capture(2), encoder=2**60, exposure_us=-1.0, gain=float("nan"), temperature_c=float("inf")
    )
    refused = RefusedCaptureError(Refusal.INCOMPLETE, "torn", frame_id=3, part_id="two\nlines")
    heard, _ = published(tmp_path, ScriptedDevice([numpy, wrong, refused]))
    one, two = (frame.header for frame in heard.frames)
    assert (one.encoder, one.exposure_us, one.gain, one.temperature_c) == (-7, 2.5, 1.5, 40.0)
    assert (two.encoder, two.exposure_us, two.gain, two.temperature_c) == (None, None, None, None)
    assert heard.triggers[2].part_id.startswith("station1-")


def test_lost_and_refused_frames_are_triggers_without_a_frame(tmp_path: Path) -> None:
    """The worker answers `lost` for each: no number is missing, and none comes twice over a reopened device."""
    millimetres = capture(5)
    millimetres.xyz[:] = 500.0
    refused = RefusedCaptureError(Refusal.OTHER_TRIGGER, "two triggers", frame_id=6, part_id="p6")
    first = ScriptedDevice([capture(1), capture(4), millimetres, refused, capture(7), DeviceError("gone")])
    second = ScriptedDevice([capture(1), capture(1), capture(2)])
    heard, publisher = published(tmp_path, first, DeviceError("absent"), second)
    assert [trigger.seq for trigger in heard.triggers] == list(range(9))
    assert [frame.header.seq for frame in heard.frames] == [0, 3, 6, 7, 8]
    assert heard.states[-1].next_seq == 9
    assert heard.triggers[5].part_id == "p6"  # the FAULT names the part that it rejects
    times_ns = [trigger.trigger_ns for trigger in heard.triggers]
    assert sorted(set(times_ns)) == times_ns  # each its own: duplicates are recognised by it
    assert len({trigger.part_id for trigger in heard.triggers}) == 9
    counts = publisher.counts
    assert (counts.captures, counts.published, counts.skipped, counts.opened, counts.device_lost) == (
        8,
        5,
        2,
        2,
        1,
    )
    assert counts.refused == {Refusal.NOT_METRES: 1, Refusal.OTHER_TRIGGER: 1, Refusal.REPEATED_ID: 1}


def test_a_count_that_starts_anew_opens_the_device_again(tmp_path: Path) -> None:
    """Frames that cannot be numbered are not published; those of the next opening go on after the last number."""
    first = ScriptedDevice([capture(50), capture(51), capture(3)], idle=True)
    heard, publisher = published(tmp_path, first, ScriptedDevice([capture(9)]))
    assert [frame.header.seq for frame in heard.frames] == [0, 1, 2]
    assert publisher.counts.refused == {Refusal.ID_BACK: 1}
    assert publisher.counts.opened == 2


@pytest.mark.parametrize(
    ("ahead_s", "believed"), [(-0.4, True), (0.0, True), (37.0, False), (-3600.0, False)]
)
def test_a_device_s_time_counts_if_it_is_near_this_host_s(
    tmp_path: Path, ahead_s: float, believed: bool
) -> None:
    """A clock that is 37 s off counts TAI; the worker would refuse such a frame as clock_skew."""
    told_ns = time.time_ns() + int(ahead_s * 1e9)
    heard, publisher = published(tmp_path, ScriptedDevice([replace(capture(1), trigger_ns=told_ns)]))
    sent_ns = heard.frames[0].header.trigger_ns
    assert (sent_ns == told_ns) is believed
    assert abs(sent_ns - time.time_ns()) < 30e9
    assert publisher.counts.clock_refused == (not believed)


def test_a_monotonic_clock_is_this_host_s(tmp_path: Path) -> None:
    """The device's synchronised time is converted; it never comes out as CLOCK_REALTIME."""
    before_ns = time.monotonic_ns()
    told_ns = time.time_ns()
    section = CameraSection(clock="monotonic")
    heard, _ = published(tmp_path, ScriptedDevice([replace(capture(1), trigger_ns=told_ns)]), section=section)
    header = heard.frames[0].header
    assert header.clock == "monotonic"
    assert before_ns - 1e9 < header.trigger_ns < time.monotonic_ns()


@pytest.mark.parametrize(("rule", "expected"), [("empty", ""), ("source", "p"), ("numbered", "station1-")])
def test_part_ids_follow_the_rule(tmp_path: Path, rule: str, expected: str) -> None:
    """A source's own ids can be left out."""
    section = CameraSection.model_validate({"part_ids": rule})
    heard, _ = published(tmp_path, ScriptedDevice([capture(1, part_id="p")]), section=section)
    part_id = heard.frames[0].header.part_id
    assert part_id == expected if rule != "numbered" else part_id.startswith(expected)


def test_heartbeats_do_not_wait_for_the_driver(tmp_path: Path) -> None:
    """A driver that hangs for seconds leaves the camera alive, until the limit ends the process."""
    endpoint = f"ipc://{tmp_path}/frames"
    section = CameraSection(endpoint=endpoint, hang_limit_s=2.0)
    device = HangingDevice()
    with worker(endpoint) as heard:
        with Camera(CameraOptions(endpoint)) as camera:
            thread = DeviceThread(openings(device), reopen_max_s=0.01)
            publisher = Publisher(section, camera, thread)
            with pytest.raises(DeviceHungError, match="scripted"):
                publisher.run(lambda: False)
            device.released.set()
            assert thread.stop()
        wait_until(lambda: any(state.closing for state in heard.states))
        sent_ns = [state.sent_ns for state in heard.states if not state.closing]
    assert len(sent_ns) >= 3  # ten in 2 s; the driver's call lasted all of them
    assert not heard.frames


def test_the_device_is_opened_once_a_worker_listens(tmp_path: Path) -> None:
    """Frames before that would be lost; heartbeats go out, and SIGTERM ends the wait."""
    endpoint = f"ipc://{tmp_path}/frames"
    turns: list[int] = []
    with Camera(CameraOptions(endpoint)) as camera:
        thread = DeviceThread(openings(), reopen_max_s=0.01)  # opening it would be an error
        publisher = Publisher(CameraSection(endpoint=endpoint), camera, thread)
        publisher.run(lambda: len(turns) >= 5, lambda: turns.append(1))
    assert publisher.counts.opened == 0
    assert thread.stop()


def test_with_a_key_only_workers_of_the_folder_hear_it(tmp_path: Path) -> None:
    """The socket speaks CURVE; a worker whose key is missing hears nothing."""
    pairs = {name: KeyPair(*zmq.curve_keypair()) for name in ("camera1", "worker", "stranger")}
    (tmp_path / "workers").mkdir()
    for name, pair in pairs.items():
        write_pair(tmp_path, name, pair)
    shutil.copy(tmp_path / "worker.key", tmp_path / "workers" / "worker.key")
    section = CameraSection(
        endpoint=f"ipc://{tmp_path}/frames",
        key=tmp_path / "camera1.key_secret",
        workers=tmp_path / "workers",
    )
    heard = {}
    with Camera(options_of(section)) as camera, zmq.Context() as context, ExitStack() as stack:
        for name in ("worker", "stranger"):
            socket = stack.enter_context(context.socket(zmq.SUB))
            ClientKeys.read(tmp_path / f"{name}.key_secret", tmp_path / "camera1.key").apply_to(socket)
            socket.subscribe(b"")
            socket.connect(camera.endpoint)
            heard[name] = socket

        def is_heard() -> bool:
            camera.rest(0.05)
            return bool(heard["worker"].poll(10))

        wait_until(is_heard)
        assert not heard["stranger"].poll(0)


def test_a_frame_that_no_worker_takes_is_counted(tmp_path: Path) -> None:
    """The part is a FAULT `lost`; the count is in the next header."""
    endpoint = f"ipc://{tmp_path}/frames"
    section = CameraSection(endpoint=endpoint, wait_for_worker=False)
    with Camera(CameraOptions(endpoint)) as camera:
        thread = DeviceThread(openings(ScriptedDevice([capture(1), capture(2)])), reopen_max_s=0.01)
        publisher = Publisher(section, camera, thread)
        publisher.run(lambda: False)
        assert thread.stop()
    assert (publisher.counts.published, publisher.counts.dropped) == (0, 2)
