"""The check of the cameras: real ones that answer, are silent, encrypt or have a wrong clock, and those of a worker."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import zmq
from tests.unit.made.examined import eventually, outcomes, said, settings, visit
from tests.unit.made.line_messages import worker_state

from cmfm_client import Camera, CameraOptions
from cmfm_client.curve import CameraKeys
from cmfm_protocol.clock import NS_PER_S, SystemClock
from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_protocol.wire.state import SourceState
from cmfm_sim.ports import free_ports
from cmfm_worker.doctor.check_cameras import check_cameras
from cmfm_worker.doctor.findings import Finding, Outcome
from cmfm_worker.doctor.visit import Options, RunningWorker
from cmfm_worker.settings.model import Settings

PATIENT = Options(listen_s=30)
"""Listening ends as soon as every camera has been heard twice."""

SHORT = Options(listen_s=0.5)


@dataclass
class Served:
    """A camera that is served: its endpoint, and whether it ever saw a subscriber of its frames."""

    endpoint: str
    taken_for_a_worker: bool = False


@contextmanager
def serving(camera: Camera) -> Iterator["Served"]:
    """Let a camera send heartbeats in a thread of its own."""
    stop = threading.Event()
    served = Served(camera.endpoint)

    def rest() -> None:
        while not stop.is_set():
            camera.rest(0.02)
            served.taken_for_a_worker |= camera.has_subscriber

    thread = threading.Thread(target=rest)
    thread.start()
    try:
        yield served
    finally:
        stop.set()
        thread.join()
        camera.close()


@dataclass(frozen=True)
class WrongClock(SystemClock):
    """A clock that is an hour ahead."""

    def realtime_ns(self) -> int:
        return super().realtime_ns() + 3600 * NS_PER_S


def look(folder: Path, given: Settings, options: Options = PATIENT) -> list[Finding]:
    return check_cameras(visit(folder, settings=given, options=options))


def with_camera(folder: Path, endpoint: str, **sections: object) -> Settings:
    return settings(folder, cameras={"left": endpoint}, sockets={}, **sections)


def test_camera_that_sends_heartbeats_is_good_and_loses_no_frame(tmp_path: Path) -> None:
    """Its clock is compared; its frames are not subscribed to, so it goes on waiting for a worker."""
    with serving(Camera(CameraOptions(endpoint=f"ipc://{tmp_path}/camera"))) as camera:
        (finding,) = look(tmp_path, with_camera(tmp_path, camera.endpoint))
        assert finding.outcome is Outcome.GOOD
        assert "left" in finding.seen
        assert "heartbeats, clock" in finding.seen
        assert not camera.taken_for_a_worker


def test_camera_with_a_wrong_clock_is_to_do(tmp_path: Path) -> None:
    """Its parts would be FAULTs."""
    options = CameraOptions(endpoint=f"ipc://{tmp_path}/camera")
    with serving(Camera(options, clock=WrongClock())) as camera:
        found = look(tmp_path, with_camera(tmp_path, camera.endpoint))
    assert "clock_skew" in said(found, Outcome.TO_DO)


def test_camera_without_heartbeats_is_noted(tmp_path: Path) -> None:
    """They are optional, so nothing is wrong; the clock could not be compared."""
    with zmq.Context() as context, context.socket(zmq.XPUB) as camera:
        camera.bind(f"ipc://{tmp_path}/camera")
        given = with_camera(tmp_path, f"ipc://{tmp_path}/camera")
        eventually(lambda: "no heartbeat" in said(look(tmp_path, given, SHORT), Outcome.NOTE))


def test_nobody_and_a_silent_service_are_to_do(tmp_path: Path) -> None:
    """Nothing listens, or what listens speaks no ZMTP."""
    silent, nobody = free_ports(2)
    with socket.create_server(("127.0.0.1", silent)):
        cameras = {"silent": f"tcp://127.0.0.1:{silent}", "nobody": f"tcp://127.0.0.1:{nobody}"}
        found = look(tmp_path, settings(tmp_path, cameras=cameras, sockets={}), SHORT)
    told = said(found, Outcome.TO_DO)
    assert "silent" in told
    assert "speaks no ZMTP" in told
    assert "nothing listens there" in told
    assert f"cmfm-sim conform --endpoint tcp://127.0.0.1:{nobody}" in told


def test_camera_that_encrypts_needs_its_key(tmp_path: Path) -> None:
    """Without the key in line.toml no handshake is completed; with it the camera is good."""
    for name in ("camera", "worker"):
        write_pair(tmp_path, name, KeyPair(*zmq.curve_keypair()))
    for folder in ("readers", "controllers"):
        (tmp_path / folder).mkdir()
    keys = CameraKeys.read(tmp_path / "camera.key_secret")
    (port,) = free_ports(1)
    with serving(Camera(CameraOptions(endpoint=f"tcp://127.0.0.1:{port}", keys=keys))) as camera:
        plain = look(tmp_path, with_camera(tmp_path, camera.endpoint), SHORT)
        curve = {
            "secret_key": tmp_path / "worker.key_secret",
            "readers": tmp_path / "readers",
            "controllers": tmp_path / "controllers",
            "cameras": {camera.endpoint: tmp_path / "camera.key"},
        }
        encrypted = look(tmp_path, with_camera(tmp_path, camera.endpoint, curve=curve))
    assert outcomes(plain) == [Outcome.TO_DO]
    assert outcomes(encrypted) == [Outcome.GOOD]


def source(name: str, **changes: object) -> SourceState:
    now_ns = time.time_ns()
    return replace(SourceState(f"tcp://{name}:5555", "stream", True, now_ns, now_ns, name), **changes)  # type: ignore[arg-type] # fields by name


def test_cameras_of_a_running_worker_are_those_of_its_state(tmp_path: Path) -> None:
    """Nothing connects to them: their addresses lead nowhere here."""
    sources = (
        source("good"),
        source("lost", alive=False),
        source("never", alive=False, last_seen_ns=0),
        source("waiting", last_frame_ns=0),
    )
    state = replace(worker_state({}), sources=sources, sent_ns=time.time_ns())
    cameras = {name: f"tcp://{name}:5555" for name in ("good", "lost", "never", "waiting", "unknown")}
    given = settings(tmp_path, cameras=cameras, sockets={})
    found = check_cameras(visit(tmp_path, settings=given, worker=RunningWorker(None, state)))
    assert outcomes(found) == [Outcome.GOOD, Outcome.TO_DO, Outcome.TO_DO, Outcome.GOOD, Outcome.TO_DO]
    for words in ("last frame", "lost", "never connected", "no frame in this boot", "does not know it"):
        assert any(words in each.seen for each in found)


def test_worker_that_does_not_tell_is_not_good(tmp_path: Path) -> None:
    """The cameras of a running line are left alone all the same."""
    worker = RunningWorker(None, None, "the line encrypts; give --key")
    found = check_cameras(visit(tmp_path, worker=worker))
    assert outcomes(found) == [Outcome.NOT_CHECKED]
    assert "--key" in found[0].seen


def test_heartbeats_of_another_protocol_are_to_do(tmp_path: Path) -> None:
    """A camera whose heartbeats cannot be read."""
    stop = threading.Event()
    with zmq.Context() as context, context.socket(zmq.XPUB) as camera:
        camera.setsockopt(zmq.LINGER, 0)
        camera.bind(f"ipc://{tmp_path}/camera")

        def send() -> None:
            while not stop.wait(0.05):
                camera.send_multipart([b"cmfm/1/line1/station1/state/", b"\xc1"])

        thread = threading.Thread(target=send)
        thread.start()
        given = with_camera(tmp_path, f"ipc://{tmp_path}/camera")
        try:
            eventually(lambda: "not of this protocol" in said(look(tmp_path, given, SHORT), Outcome.TO_DO))
        finally:
            stop.set()
            thread.join()
