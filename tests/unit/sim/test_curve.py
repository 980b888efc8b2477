"""The simulator's keys: options that belong together, and a camera that only named workers may hear."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from cmfm_protocol.files.key_files import KeyFileError, KeyPair, write_pair
from cmfm_sim.camera import Camera, CameraOptions
from cmfm_sim.curve import CameraKeys, ClientKeys
from cmfm_sim.errors import FailedError, InputError
from cmfm_sim.sockets import ZmqContext, ZmqSocket


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
def test_camera_lets_in_whom_its_folder_names(tmp_path: Path, worker: ZmqSocket, known: bool) -> None:
    """A worker whose public key lies there subscribes; to the camera another one is not there."""
    own, camera_public = make(tmp_path, "camera")
    secret, public = make(tmp_path, "worker")
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    if known:
        public.rename(allowed / public.name)
    keys, client = CameraKeys.read(own, allowed), ClientKeys.read(secret, camera_public)
    assert client is not None
    client.put_on(worker)
    with Camera(CameraOptions("tcp://127.0.0.1:*", keys=keys)) as camera:
        worker.connect(camera.endpoint)
        if known:
            assert camera.wait_for_subscriber(10)
            assert camera.send(0, [b"topic", b"body"])
        else:
            with pytest.raises(FailedError, match="nobody subscribed"):
                camera.wait_for_subscriber(0.5)


def test_camera_with_a_key_is_not_heard_without(tmp_path: Path, worker: ZmqSocket) -> None:
    """A worker that does not encrypt gets no frames."""
    own, _ = make(tmp_path, "camera")
    with Camera(CameraOptions("tcp://127.0.0.1:*", keys=CameraKeys.read(own, None))) as camera:
        worker.connect(camera.endpoint)
        with pytest.raises(FailedError, match="nobody subscribed"):
            camera.wait_for_subscriber(0.5)


def test_options_that_belong_together_are_told(tmp_path: Path) -> None:
    """Half of a set of keys is an error, not an unencrypted connection."""
    secret, public = make(tmp_path, "plc")
    for own, server in ((secret, None), (None, public)):
        with pytest.raises(InputError, match="go together"):
            ClientKeys.read(own, server)
    with pytest.raises(InputError, match="needs --key"):
        CameraKeys.read(None, tmp_path)
    assert ClientKeys.read(None, None) is None
    assert CameraKeys.read(None, None) is None


def test_unusable_files_are_told(tmp_path: Path) -> None:
    """A secret key that others can read, and a damaged file among the allowed ones."""
    secret, public = make(tmp_path, "plc")
    (tmp_path / "bad.key").write_text("no key")
    with pytest.raises(KeyFileError, match=r"bad\.key"):
        CameraKeys.read(secret, tmp_path)
    secret.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        ClientKeys.read(secret, public)
