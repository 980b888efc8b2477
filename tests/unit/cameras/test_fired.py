"""Cameras that a photo-eye fires, over real sockets: subscribed, encrypted, refused with wrong settings."""

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import zmq
from tests.unit.made.published_camera import published
from tests.unit.made.scripted_device import ScriptedDevice, capture, next_capture

from cmfm_cameras.errors import InputError
from cmfm_cameras.fired import fired, photo_eye_keys
from cmfm_cameras.photo_eye.announcers import SocketAnnouncer, socket_options
from cmfm_cameras.problems import problems_of
from cmfm_cameras.settings.camera import CameraSection
from cmfm_cameras.settings.model import CameraSettings
from cmfm_cameras.settings.zivid import ZividSection
from cmfm_cameras.vendor.requested import RequestedDevice
from cmfm_client import Camera, CameraKeys, CameraOptions
from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_protocol.wire.trigger import TriggerMessage

from .test_shots import Still

LIMIT_S = 30.0


def settings(endpoint: str, key: Path | None = None, eye_key: Path | None = None) -> CameraSettings:
    return CameraSettings(
        camera=CameraSection(kind="zivid", key=key),
        zivid=ZividSection(fired_by=endpoint, fired_by_key=eye_key, late_s=60.0),
    )


def trigger(stream: str, seq: int) -> TriggerMessage:
    return TriggerMessage(
        stream_uuid=stream,
        seq=seq,
        part_id=f"p{seq}",
        trigger_ns=time.time_ns(),
        deadline_ms=1000.0,
        recipe="",
    )


@pytest.mark.parametrize("encrypted", [False, True])
def test_a_camera_hears_the_photo_eye_over_all_its_openings(tmp_path: Path, encrypted: bool) -> None:
    """The subscription outlives a device that is lost and opened again; with keys only a listed camera hears."""
    pairs = {
        name: write_pair(tmp_path, name, KeyPair(*zmq.curve_keypair())) for name in ("camera", "eye", "other")
    }
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "camera.key").write_bytes(pairs["camera"][1].read_bytes())
    endpoint = f"ipc://{tmp_path}/eye"
    keys = CameraKeys.read(pairs["eye"][0], allowed) if encrypted else None
    own, eye_key = (pairs["camera"][0], pairs["eye"][1]) if encrypted else (None, None)
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        announcer = SocketAnnouncer(
            context, socket_options(endpoint, keys), ("line1", "station1"), lambda *_: None
        )
        stack.callback(announcer.close)
        camera = stack.enter_context(Camera(CameraOptions(f"ipc://{tmp_path}/camera")))
        given = settings(endpoint, own, eye_key)
        opened = fired(given, camera, lambda: RequestedDevice(Still(), 0.001), stack)
        device = opened()
        until(lambda: device.capture(0.0) is None and turned(announcer))
        announcer.announce(trigger(camera.stream_uuid, 0))
        captures = [next_capture(device)]
        device.close()
        announcer.announce(trigger(camera.stream_uuid, 1))  # the device is away
        device = opened()
        captures.append(next_capture(device))
        assert device.capture(0.05) is None
        device.close()
    assert [(capture.seq, capture.part_id) for capture in captures] == [(0, "p0"), (1, "p1")]


def test_a_stranger_s_key_hears_nothing(tmp_path: Path) -> None:
    """A camera whose key is not among the photo-eye's workers is never fired."""
    pairs = {name: write_pair(tmp_path, name, KeyPair(*zmq.curve_keypair())) for name in ("camera", "eye")}
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "eye.key").write_bytes(pairs["eye"][1].read_bytes())
    endpoint = f"ipc://{tmp_path}/eye"
    with contextlib.ExitStack() as stack:
        context = stack.enter_context(zmq.Context())
        options = socket_options(endpoint, CameraKeys.read(pairs["eye"][0], allowed))
        announcer = SocketAnnouncer(context, options, ("line1", "station1"), lambda *_: None)
        stack.callback(announcer.close)
        camera = stack.enter_context(Camera(CameraOptions(f"ipc://{tmp_path}/camera")))
        given = settings(endpoint, pairs["camera"][0], pairs["eye"][1])
        device = fired(given, camera, lambda: RequestedDevice(Still(), 0.001), stack)()
        for seq in range(10):
            turned(announcer)
            announcer.announce(trigger(camera.stream_uuid, seq))
            assert device.capture(0.05) is None


def test_without_a_photo_eye_nothing_changes(tmp_path: Path) -> None:
    """The device is the one that is opened; a key of an eye without the camera's own is refused."""
    still = RequestedDevice(Still(), 0.001)
    with contextlib.ExitStack() as stack, Camera(CameraOptions(f"ipc://{tmp_path}/camera")) as camera:
        assert fired(settings(""), camera, lambda: still, stack)() is still
    assert still.capture(1.0) is not None
    with pytest.raises(InputError, match=r"fired_by_key needs \[camera\] key"):
        photo_eye_keys(settings("ipc://x", None, tmp_path / "eye.key"))


def test_parts_that_were_not_heard_of_are_announced_without_an_id() -> None:
    """The photo-eye has named them: another id of ours would make them malformed."""
    asked = [replace(capture(None), seq=number, part_id=f"eye-{number}") for number in (2, 3)]
    with published(lambda: ScriptedDevice(asked, idle=True)) as listening:
        heard = listening.until(lambda received: len(received.frames) == 2)
    assert [(trigger.seq, trigger.part_id) for trigger in heard.triggers] == [
        (0, ""),
        (1, ""),
        (2, "eye-2"),
        (3, "eye-3"),
    ]
    assert [frame.header.part_id for frame in heard.frames] == ["eye-2", "eye-3"]


def test_ids_that_contradict_the_photo_eye_s_are_a_problem(tmp_path: Path) -> None:
    """`numbered` ids would make every part malformed at the worker."""
    (tmp_path / "capture.yml").write_text("made up")
    given = settings("ipc:///tmp/eye")
    numbered = given.model_copy(update={"camera": given.camera.model_copy(update={"part_ids": "numbered"})})
    assert any("contradicts the ids of the photo-eye" in problem for problem in problems_of(numbered))
    assert not any("photo-eye" in problem for problem in problems_of(given))


def turned(announcer: SocketAnnouncer) -> bool:
    announcer.turn(time.time_ns())
    return announcer.is_heard


def until(done: Callable[[], bool]) -> None:
    until_s = time.monotonic() + LIMIT_S
    while not done():
        assert time.monotonic() < until_s
        time.sleep(0.01)
