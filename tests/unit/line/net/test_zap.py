"""Which clients may connect: CURVE keys and allow-lists, over real sockets."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq
from structlog.testing import capture_logs

from cmfm_protocol.files.key_files import KeyPair, write_pair
from cmfm_worker.errors import InputError
from cmfm_worker.line.net.curve import Keys, SocketName, read_keys
from cmfm_worker.line.net.sockets import Socket, bind
from cmfm_worker.line.net.zap import ZapHandler
from cmfm_worker.settings.sections.network import CurveSection

REFUSED_S = 0.6
"""How long to wait for a refused client; an admitted one needs a few milliseconds."""


def new_pair() -> KeyPair:
    return KeyPair(*zmq.curve_keypair())


class Site:
    """A folder of keys, a ZAP handler, and one CURVE server: a ROUTER that echoes."""

    def __init__(self, folder: Path, socket: SocketName) -> None:
        self.folder = folder
        self.worker = new_pair()
        for name in ("readers", "controllers"):
            (folder / name).mkdir()
        secret, _ = write_pair(folder, "worker", self.worker)
        self.settings = CurveSection(
            secret_key=secret, readers=folder / "readers", controllers=folder / "controllers"
        )
        self.socket = socket
        self._clients: zmq.Context[Socket] = zmq.Context()
        self.context: zmq.Context[Socket] = zmq.Context()
        self.zap: ZapHandler | None = None

    def allow(self, where: str, name: str = "someone") -> KeyPair:
        """Put a new key into one of the folders."""
        pair = new_pair()
        _, public = write_pair(self.folder / "out", name, pair)
        public.rename(self.folder / where / public.name)
        return pair

    def open(self, *, zap: bool = True) -> Keys:
        """Start the ZAP handler and bind."""
        keys = read_keys(self.settings)
        if zap:
            self.zap = ZapHandler(self.context, keys)
            self.zap.start()
        curve = keys.curve_server(self.socket)
        self._server = bind(self.context, zmq.ROUTER, "tcp://127.0.0.1:*", send_hwm=10, curve=curve)
        self.endpoint = self._server.getsockopt_string(zmq.LAST_ENDPOINT)
        return keys

    def ask(self, own: KeyPair | None, *, server: bytes | None = None, wait_s: float = REFUSED_S) -> bool:
        """Whether a request arrives and its reply comes back."""
        with self._clients.socket(zmq.DEALER) as client:
            client.setsockopt(zmq.LINGER, 0)
            if own is not None:
                client.setsockopt(zmq.CURVE_SERVERKEY, server or self.worker.public)
                client.setsockopt(zmq.CURVE_PUBLICKEY, own.public)
                client.setsockopt(zmq.CURVE_SECRETKEY, own.secret)
            client.setsockopt(zmq.SNDTIMEO, int(wait_s * 1000))
            client.connect(self.endpoint)
            try:
                client.send(b"hello")
            except zmq.Again:  # refused before it could be queued: libzmq has taken the connection away
                return False
            if not self._server.poll(int(wait_s * 1000)):
                return False
            self._server.send_multipart(self._server.recv_multipart())
            return client.poll(5000) != 0 and client.recv() == b"hello"

    def close(self) -> None:
        self._server.close(0)
        if self.zap is not None:
            self.zap.close()
        self._clients.destroy(0)
        self.context.term()


MakeSite = Callable[[SocketName], Site]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[MakeSite]:
    """Makes a site for a socket."""
    sites: list[Site] = []

    def make(socket: SocketName) -> Site:
        sites.append(Site(tmp_path, socket))
        return sites[-1]

    yield make
    for made in sites:
        made.close()


@pytest.mark.parametrize(
    ("socket", "folder", "other"),
    [
        ("results", "readers", "controllers"),
        ("maps", "readers", "controllers"),
        ("recovery", "readers", "controllers"),
        ("control", "controllers", "readers"),
    ],
)
def test_each_socket_has_its_folder(site: MakeSite, socket: SocketName, folder: str, other: str) -> None:
    """A key is admitted at the sockets of its own folder; at the others it is refused, counted and logged."""
    here = site(socket)
    welcome, elsewhere = here.allow(folder), here.allow(other, "elsewhere")
    with capture_logs() as lines:
        here.open()
        assert here.ask(welcome, wait_s=10)
        assert not here.ask(elsewhere)
    assert here.zap is not None
    assert here.zap.refused[socket] > 0
    assert set(here.zap.refused) == {socket}
    admitted, refused = (line for line in lines if line["event"].startswith("client_"))
    where = {"socket": socket, "address": "127.0.0.1"}
    assert admitted.items() >= {"event": "client_admitted", "client": "someone", **where}.items()
    assert refused.items() >= {"event": "client_refused", "key": elsewhere.public.decode(), **where}.items()


def test_strangers_are_refused(site: MakeSite) -> None:
    """An unknown key, no key, an allowed key that expects another worker: nothing arrives, and each is counted."""
    here = site("control")
    welcome = here.allow("controllers")
    here.open()
    assert here.zap is not None
    for own, server in ((new_pair(), None), (None, None), (welcome, new_pair().public)):
        before, until_s = here.zap.refused["control"], time.monotonic() + 20
        # Again and again: libzmq does not see every client that hangs up by itself over the worker's greeting.
        while here.zap.refused["control"] == before and time.monotonic() < until_s:
            assert not here.ask(own, server=server)
        assert here.zap.refused["control"] > before
    assert here.ask(welcome, wait_s=10)


def test_stolen_public_key_is_not_enough(site: MakeSite) -> None:
    """A client that has an allowed public key without its secret key is refused."""
    here = site("control")
    welcome = here.allow("controllers")
    here.open()
    assert not here.ask(KeyPair(welcome.public, new_pair().secret))


def test_without_the_zap_handler_every_client_is_refused(site: MakeSite) -> None:
    """An allowed key is refused too, although libzmq would by default admit every client."""
    here = site("results")
    welcome = here.allow("readers")
    here.open(zap=False)
    assert not here.ask(welcome)


def test_keys_count_without_a_restart(site: MakeSite) -> None:
    """A key file that is added to the folder counts within seconds, and so does one that is removed."""
    here = site("control")
    here.open()
    late = here.allow("controllers", "late")
    until_s = time.monotonic() + 20
    while not here.ask(late) and time.monotonic() < until_s:
        pass
    assert here.ask(late, wait_s=10)
    (here.folder / "controllers" / "late.key").unlink()
    until_s = time.monotonic() + 20
    while here.ask(late) and time.monotonic() < until_s:
        time.sleep(0.2)
    assert not here.ask(late)


def test_broken_key_file_keeps_the_others_at_work(site: MakeSite) -> None:
    """A file that is damaged while the line runs is ignored, and the other clients are still admitted."""
    here = site("control")
    welcome = here.allow("controllers")
    here.open()
    (here.folder / "controllers" / "bad.key").write_text("no key")
    time.sleep(1.1)
    assert here.ask(welcome, wait_s=10)
    assert here.zap is not None
    assert here.zap.failure is None


def test_wrong_settings_are_named_at_the_start(tmp_path: Path) -> None:
    """Missing folders, damaged keys and a secret key that others can read: each names what is wrong."""
    secret, _ = write_pair(tmp_path, "worker", new_pair())
    curve = CurveSection(secret_key=secret, readers=tmp_path / "r", controllers=tmp_path / "c")
    with pytest.raises(InputError, match=r"\[curve\] .*/r: "):
        read_keys(curve)
    for name in ("r", "c"):
        (tmp_path / name).mkdir()
    read_keys(curve)
    (tmp_path / "c" / "bad.key").write_text("")
    with pytest.raises(InputError, match=r"bad\.key"):
        read_keys(curve)
    (tmp_path / "c" / "bad.key").unlink()
    secret.chmod(0o644)
    with pytest.raises(InputError, match="chmod 600"):
        read_keys(curve)


def test_mixed_up_pair_is_named_at_the_start(tmp_path: Path) -> None:
    """A public and a secret key of different pairs, which would refuse every client, stop the start."""
    secret, _ = write_pair(tmp_path, "worker", KeyPair(new_pair().public, new_pair().secret))
    with pytest.raises(InputError, match="does not belong"):
        read_keys(CurveSection(secret_key=secret, readers=tmp_path, controllers=tmp_path))


def test_line_without_keys_does_not_encrypt() -> None:
    """Without [curve] there is no key and no CURVE server."""
    keys = read_keys(CurveSection())
    assert keys.own is None
    assert keys.curve_server("control") is None
