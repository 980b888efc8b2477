"""A line with CURVE, as processes: each key on a list opens the sockets of that list, and nothing opens others."""

import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq

from cmfm_client.camera import Camera
from cmfm_client.camera_socket import CameraOptions
from cmfm_client.curve import CameraKeys, ClientKeys
from cmfm_client.sockets import ZmqContext
from cmfm_protocol.files.key_files import KeyPair, read_pair, read_public, write_pair
from cmfm_protocol.wire.control import (
    DrainRequest,
    LoadRecipeRequest,
    Reply,
    ResultsSinceRequest,
    StatusRequest,
    decode_reply,
    encode_request,
)
from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.demo_line import Endpoints
from cmfm_sim.processes import Child, Children, program

from .conftest import Line

pytestmark = [pytest.mark.system, pytest.mark.timeout(300)]

SILENCE_S = 1.5
"""Heartbeats come every 100 ms; a client that has heard nothing for this long is not admitted."""


def new_pair() -> KeyPair:
    return KeyPair(*zmq.curve_keypair())


@dataclass
class Site:
    """A worker with keys, the folder they lie in, and one client of each kind."""

    line: Line
    worker: Child
    keys: Path
    reader: ClientKeys
    controller: ClientKeys
    children: Children

    def ask(self, name: str, keys: ClientKeys | None, body: bytes, *, wait_s: float = 10.0) -> Reply | None:
        """The reply of the socket `name` under [sockets]; None without one."""
        context: ZmqContext = zmq.Context()
        with context, context.socket(zmq.DEALER) as socket:
            socket.setsockopt(zmq.LINGER, 0)
            if keys is not None:
                keys.apply_to(socket)
            socket.connect(getattr(self.line.endpoints, name))
            socket.send_multipart([b"", body])
            return decode_reply(socket.recv_multipart()[-1]) if socket.poll(int(wait_s * 1000)) else None


def make_keys(folder: Path, *names: str) -> None:
    """Make the first pair with `cmfm-worker keys new`, the others in this process; fill readers and controllers."""
    with Children(folder / "logs") as children:
        command = [*program("cmfm-worker"), "keys", "new", "--out", str(folder), "--name", names[0]]
        children.start("keys", command).wait(lambda: False, 60)
    for name in names[1:]:
        write_pair(folder, name, new_pair())
    for access, name in (("readers", "plc"), ("controllers", "engineer")):
        (folder / access).mkdir()
        shutil.copy(folder / f"{name}.key", folder / access)


def start(folder: Path, recipes: Path, children: Children, *, bind_to: str = "127.0.0.1") -> Site:
    """Start a worker with keys, a camera's among them, and wait until it is ready."""
    keys = folder / "keys"
    make_keys(keys, "worker", "plc", "engineer", "camera")
    server = read_public(keys / "worker.key")
    reader, controller = (
        ClientKeys(read_pair(keys / f"{n}.key_secret"), server) for n in ("plc", "engineer")
    )
    line = Line(folder, recipes, Endpoints.free(), children, reader)
    frames = line.endpoints.frames
    sockets: dict[str, object] = {
        name: getattr(line.endpoints, name).replace("127.0.0.1", bind_to)
        for name in ("results", "maps", "recovery", "control")
    }
    curve: dict[str, object] = {
        "secret_key": "keys/worker.key_secret",
        "cameras": {frames: "keys/camera.key"},
    }
    worker = line.start(sockets={"frames": [frames], **sockets}, curve=curve)
    return Site(line, worker, keys, reader, controller, children)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, recipes: Path) -> Iterator[Site]:
    """One worker for the tests that leave it running. Beside its recipe lies a link to a recipe elsewhere."""
    folder = tmp_path_factory.mktemp("site")
    shutil.copytree(recipes / "praline", folder / "recipes" / "praline")
    shutil.copytree(recipes / "praline", folder / "outside")
    with Children(folder / "logs") as children:
        made = start(folder, folder / "recipes", children)
        (folder / "recipes" / "link").symlink_to(folder / "outside")  # at the start it would be an error
        yield made
        made.line.finish(made.worker)
        made.line.subscriber.close()


def test_listed_clients_get_every_verdict(site: Site, synthetic_root: Path) -> None:
    """Parts of an encrypted camera are inspected, and the reader has all verdicts, live and recovered."""
    keys, line = site.keys, site.line
    (keys / "workers").mkdir()
    shutil.copy(keys / "worker.key", keys / "workers")
    own = ["--key", str(keys / "camera.key_secret"), "--allowed-keys", str(keys / "workers")]
    watch = [*program("cmfm-sim"), "watch", "--endpoint", line.endpoints.results, "--json", "--count", "3"]
    watch += ["--key", str(keys / "plc.key_secret"), "--server-key", str(keys / "worker.key")]
    watcher = site.children.start("watch", [*watch, "--timeout-s", "120"])
    camera = line.replay(synthetic_root, "--rate", "8", "--deadline-ms", "10000", "--wait-s", "60", *own)
    line.wait_for(lambda: camera.returncode is not None, site.worker, 120)
    camera.require_success()
    expected = {trigger.key for trigger in line.triggers()}
    line.wait_for(lambda: expected <= {item.key for item in line.received}, site.worker, 60)
    verdicts = {item.key: item.result.verdict for item in line.received}
    assert all(verdicts[key] is not Verdict.FAULT for key in expected)
    watcher.wait(lambda: False, 130)
    body = encode_request(ResultsSinceRequest("again", "", 0))
    reply = site.ask("recovery", site.reader, body)
    assert reply is not None
    assert reply.page is not None
    assert {(r.stream_uuid, r.seq) for r in reply.page.results} >= expected


def strangers(site: Site) -> dict[str, ClientKeys | None]:
    """Clients that are not on the list, or that expect another worker."""
    return {
        "unknown key": replace(site.reader, own=new_pair()),
        "no key": None,
        "another worker expected": replace(site.reader, server=new_pair().public),
        "control key": site.controller,
        "public key without its secret": replace(
            site.reader, own=KeyPair(site.reader.own.public, new_pair().secret)
        ),
    }


def test_unlisted_clients_hear_nothing(site: Site) -> None:
    """Neither results, heartbeats nor maps; the reader hears them meanwhile."""
    context: ZmqContext = zmq.Context()
    with ExitStack() as stack:
        stack.callback(context.destroy, 0)
        ears: dict[str, zmq.Socket[bytes]] = {}
        for name, keys in {**strangers(site), "reader": site.reader}.items():
            socket = ears[name] = context.socket(zmq.SUB)
            if keys is not None:
                keys.apply_to(socket)
            socket.subscribe(b"")
            socket.connect(site.line.endpoints.results)
            socket.connect(site.line.endpoints.maps)
        assert ears["reader"].poll(10_000)
        time.sleep(SILENCE_S)
        assert [name for name, socket in ears.items() if socket.poll(0)] == ["reader"]
    assert "client_refused" in site.worker.output()


def test_nobody_recovers_or_controls_without_a_key_for_it(site: Site) -> None:
    """Strangers get no reply; a reader gets none on control, an engineer none on recovery."""
    since, status = encode_request(ResultsSinceRequest("q", "", 0)), encode_request(StatusRequest("q"))
    for keys in strangers(site).values():
        assert site.ask("recovery", keys, since, wait_s=0.4) is None
    drain = encode_request(DrainRequest("q"))
    for keys in (site.reader, replace(site.controller, own=new_pair()), None):
        assert site.ask("control", keys, drain, wait_s=0.4) is None
    reply = site.ask("control", site.controller, status)
    assert reply is not None
    assert reply.state is not None
    assert reply.state.phase == "ready"  # none of the drains above was heard


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../outside", "/etc/passwd", "praline/../../outside"])
def test_request_cannot_name_a_path(site: Site, name: str) -> None:
    """A recipe that is not a name is refused before anything is opened."""
    body = msgpack.packb({"v": 1, "id": "q", "op": "load_recipe", "recipe": name})
    reply = site.ask("control", site.controller, body)
    assert reply is not None
    assert not reply.ok
    assert "name" in reply.error


def test_link_out_of_the_recipes_is_not_followed(site: Site) -> None:
    """A recipe behind a link is refused; the line's own is loaded again."""
    refused = site.ask("control", site.controller, encode_request(LoadRecipeRequest("q", "link")))
    assert refused is not None
    assert not refused.ok
    assert "leads out of" in refused.error
    loaded = site.ask("control", site.controller, encode_request(LoadRecipeRequest("q", "praline")))
    assert loaded == Reply("q", ok=True)


def test_header_cannot_name_a_path(site: Site) -> None:
    """Frames with a path as recipe or part id are FAULTs; no file is opened or written by that path."""
    outside = str(site.line.folder / "outside")
    names = ["..", "../outside", outside, "praline/.", "link", "/dev/null"]
    rgb, xyz = np.zeros((32, 32, 3), np.uint8), np.ones((32, 32, 3), np.float32)
    options = CameraOptions(
        site.line.endpoints.frames, keys=CameraKeys(read_pair(site.keys / "camera.key_secret"))
    )
    with Camera(options) as camera:
        camera.wait_for_subscriber(30)
        for number, name in enumerate(names):
            trigger = camera.trigger(f"../../{name}", recipe=name, deadline_ms=20_000.0, announce=False)
            assert camera.publish(trigger, rgb + np.uint8(number), xyz)
        mine = {(camera.stream_uuid, seq) for seq in range(len(names))}
        line = site.line
        line.wait_for(lambda: mine <= {item.key for item in line.received}, site.worker, 60)
    reasons = [item.result.reason for item in line.received if item.key in mine]
    assert reasons == [Reason.UNKNOWN_RECIPE] * len(names)
    kept = {path.parent for path in line.folder.rglob("result.json")}
    assert {path.parent for path in kept} <= {line.folder / "kept"}


def test_control_key_drains_a_line_that_other_hosts_can_reach(tmp_path: Path, recipes: Path) -> None:
    """With CURVE the worker may bind off-host; a reader's drain is not heard, the engineer's ends it with 0."""
    with Children(tmp_path / "logs") as children:
        made = start(tmp_path, recipes, children, bind_to="*")
        line, drain = made.line, encode_request(DrainRequest("q"))
        assert made.ask("control", made.reader, drain, wait_s=0.4) is None
        assert made.ask("control", made.controller, drain) == Reply("q", ok=True)
        line.wait_for(lambda: made.worker.returncode is not None, made.worker, 60)
        line.listen(0.2)
        line.subscriber.close()
        assert made.worker.returncode == 0, made.worker.output()
        assert line.states[-1].phase == "stopped"
