"""CURVE keys of clients: a camera that only named workers may hear, and unusable key files."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_client.curve import CameraKeys, ClientKeys
from cmfm_client.errors import NoSubscriberError
from cmfm_client.sockets import ZmqContext, ZmqSocket
from cmfm_protocol.files.key_files import KeyFileError, KeyPair, write_pair


def make(folder: Path, name: str) -> tuple[Path, Path]:
    """Files of a new pair: secret, public."""
    return write_pair(folder, name, KeyPair(*zmq.curve_keypair()))


@pytest.fixture
def worker() -> Iterator[ZmqSocket]:
    """A SUB socket that is not connected yet."""
    context: ZmqContext = zmq.Context()
    socket = context.socket(zmq.SUB)
    socket.subscribe(b"")
    yield socket
    socket.close(0)
    context.term()


@pytest.mark.parametrize("known", [True, False])
def test_camera_admits_workers_whose_keys_lie_in_its_folder(
    tmp_path: Path, worker: ZmqSocket, known: bool
) -> None:
    """A worker whose public key lies there subscribes; another one does not."""
    own, camera_public = make(tmp_path, "camera")
    secret, public = make(tmp_path, "worker")
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    if known:
        public.rename(allowed / public.name)
    ClientKeys.read(secret, camera_public).apply_to(worker)
    with Camera(CameraOptions("tcp://127.0.0.1:*", keys=CameraKeys.read(own, allowed))) as camera:
        worker.connect(camera.endpoint)
        if known:
            assert camera.wait_for_subscriber(10)
            assert camera.send(0, [b"topic", b"body"])
        else:
            with pytest.raises(NoSubscriberError):
                camera.wait_for_subscriber(0.5)


def test_camera_with_a_key_is_not_heard_without_one(tmp_path: Path, worker: ZmqSocket) -> None:
    """A worker that does not encrypt gets no frames."""
    own, _ = make(tmp_path, "camera")
    with Camera(CameraOptions("tcp://127.0.0.1:*", keys=CameraKeys.read(own))) as camera:
        worker.connect(camera.endpoint)
        with pytest.raises(NoSubscriberError):
            camera.wait_for_subscriber(0.5)


def test_unusable_key_files_are_named(tmp_path: Path) -> None:
    """A secret key that others can read, and a damaged file among the allowed ones."""
    secret, public = make(tmp_path, "plc")
    (tmp_path / "bad.key").write_text("no key")
    with pytest.raises(KeyFileError, match=r"bad\.key"):
        CameraKeys.read(secret, tmp_path)
    secret.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        ClientKeys.read(secret, public)
