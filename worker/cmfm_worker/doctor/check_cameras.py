"""Cameras: whether each answers, sends heartbeats and has the right time.

A running worker is asked. Without one each camera is connected to as the worker does, with its keys, and only its
heartbeats are subscribed to: no frame is taken.
"""

import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

import zmq

from cmfm_client.watched_connection import WatchedConnection
from cmfm_protocol.clock import NS_PER_MS, NS_PER_S
from cmfm_protocol.wire.errors import RemoteProtocolError
from cmfm_protocol.wire.limits import MAX_STATE_BYTES
from cmfm_protocol.wire.state import CameraState, SourceState, WorkerState, decode_camera_state
from cmfm_protocol.wire.topics import topic
from cmfm_worker.doctor.addresses import host_and_port
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.visit import Visit
from cmfm_worker.line.net.curve import Keys, read_keys
from cmfm_worker.line.net.sockets import Context, Socket, subscriber
from cmfm_worker.settings.model import Settings

CHECK: Final = Check("cameras")
POLL_MS: Final = 50
CONNECT_S: Final = 2.0
SET_CLOCK: Final = "compare `date` on both, restart time synchronisation (PTP, NTP) there"


@dataclass(slots=True)
class Heard:
    """The messages of one camera: a completed handshake, its newest heartbeat and when that came (CLOCK_REALTIME)."""

    connected: bool = False
    beats: int = 0
    unreadable: int = 0
    state: CameraState | None = None
    came_ns: int = 0
    trouble: str = ""


def check_cameras(visit: Visit) -> Findings:
    """Ask the running worker about its cameras, or listen to them if none runs."""
    if visit.worker is None:
        heard = listen(visit.settings, read_keys(visit.settings.curve), visit.options.listen_s)
        names = visit.settings.camera_names
        tolerance_ms = visit.settings.intake.clock_tolerance_ms
        return [camera_finding(names[each], each, heard[each], tolerance_ms) for each in heard]
    if visit.worker.state is None:
        return [
            CHECK.not_checked(
                f"a worker runs and does not tell its cameras: {visit.worker.why_no_state}",
                "see `worker` below; the cameras of a running line are not disturbed",
            )
        ]
    return state_findings(visit.worker.state, visit.settings.camera_names)


def state_findings(state: WorkerState, names: Mapping[str, str]) -> Findings:
    """Look at the cameras as the worker sees them."""
    by_endpoint = {source.endpoint: source for source in state.sources}
    found = [_as_the_worker_sees(by_endpoint[each], state) for each in names if each in by_endpoint]
    return found + [
        CHECK.to_do(
            f"{name} ({endpoint}): the running worker does not know it",
            "restart the worker: line.toml changed",
        )
        for endpoint, name in names.items()
        if endpoint not in by_endpoint
    ]


def look_at(endpoint: str) -> str:
    """Return what to do about a camera that does not answer."""
    return f"check its power, cable and address; `cmfm-sim conform --endpoint {endpoint}` says more"


def _as_the_worker_sees(source: SourceState, state: WorkerState) -> Finding:
    name = f"{source.name or 'camera'} ({source.endpoint})"
    if not source.alive:
        seen = (
            "never connected"
            if not source.last_seen_ns
            else f"lost {_ago(source.last_seen_ns, state.sent_ns)}"
        )
        return CHECK.to_do(f"{name}: {seen}", look_at(source.endpoint))
    if not source.last_frame_ns:
        return CHECK.good(f"{name}: connected; no frame in this boot of the worker yet")
    return CHECK.good(f"{name}: connected, last frame {_ago(source.last_frame_ns, state.sent_ns)}")


def _ago(then_ns: int, now_ns: int) -> str:
    return f"{max(now_ns - then_ns, 0) / NS_PER_S:.1f} s ago"


def camera_finding(name: str, endpoint: str, heard: Heard, tolerance_ms: float) -> Finding:
    """Judge what came from one camera."""
    camera = f"{name} ({endpoint})"
    if not heard.connected:
        return CHECK.to_do(f"{camera}: {heard.trouble or 'no ZMTP handshake'}", look_at(endpoint))
    if heard.state is None and heard.unreadable:
        return CHECK.to_do(f"{camera}: its heartbeats are not of this protocol", look_at(endpoint))
    if heard.state is None:
        return CHECK.note(
            f"{camera}: answers; no heartbeat came, so its clock is not compared",
            "cameras need not send heartbeats; are line and station in its topic those of [line]?",
        )
    skew_ms = (heard.state.sent_ns - heard.came_ns) / NS_PER_MS
    seen = f"{camera}: answers, {heard.beats} heartbeats, clock {skew_ms:+.1f} ms"
    if abs(skew_ms) > tolerance_ms:
        return CHECK.to_do(f"{seen}; its parts would be FAULTs clock_skew", SET_CLOCK)
    return CHECK.good(seen)


def listen(settings: Settings, keys: Keys, seconds: float) -> dict[str, Heard]:
    """Connect to every camera and take heartbeats for so long; returns what came, by endpoint."""
    heard = {endpoint: Heard() for endpoint in settings.camera_names}
    with _connections(settings, keys) as connections:
        until_s = time.monotonic() + seconds
        while time.monotonic() < until_s:
            for endpoint, connection in connections.items():
                _take(connection, heard[endpoint])
            if all(each.beats > 1 for each in heard.values()):
                break
            zmq.select([each.socket for each in connections.values()], [], [], POLL_MS / 1000)
    for endpoint, each in heard.items():
        if not each.connected:
            each.trouble = each.trouble or who_answers(endpoint)
    return heard


def _take(connection: WatchedConnection, heard: Heard) -> None:
    """Read what has come on one connection; make it anew if libzmq gave it up."""
    now_ns = time.monotonic_ns()
    connection.update(now_ns)
    heard.connected = heard.connected or connection.up
    while connection.socket.poll(0):
        message = connection.socket.recv_multipart()
        try:
            heard.state = decode_camera_state(message)
        except RemoteProtocolError:
            heard.unreadable += 1
        else:
            heard.beats, heard.came_ns = heard.beats + 1, time.time_ns()
    if connection.given_up(now_ns):
        connection.renew()
        heard.trouble = connection.trouble


@contextmanager
def _connections(settings: Settings, keys: Keys) -> Iterator[dict[str, WatchedConnection]]:
    heartbeats = topic(settings.line.name, settings.line.station, "state")
    context: Context = zmq.Context()
    connections: dict[str, WatchedConnection] = {}

    def socket_for(endpoint: str) -> Socket:
        made = subscriber(context, receive_hwm=settings.intake.receive_hwm, max_bytes=MAX_STATE_BYTES)
        made.setsockopt(zmq.IPV6, "[" in endpoint)
        made.setsockopt(zmq.SUBSCRIBE, heartbeats)
        keys.configure_client(made, endpoint)
        return made

    try:
        for endpoint in settings.camera_names:
            connections[endpoint] = WatchedConnection(partial(socket_for, endpoint), endpoint)
        yield connections
    finally:
        for connection in connections.values():
            connection.close()
        context.destroy(0)


def who_answers(endpoint: str) -> str:
    """Return in words what a plain connection to a silent camera finds."""
    address = host_and_port(endpoint)
    try:
        if address is not None:
            socket.create_connection(address, timeout=CONNECT_S).close()
        elif endpoint.startswith("ipc://"):
            with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as tried:
                tried.settimeout(CONNECT_S)
                path = endpoint.removeprefix("ipc://")
                tried.connect("\0" + path[1:] if path.startswith("@") else path)
    except ConnectionRefusedError:
        return "nothing listens there"
    except OSError as error:
        return f"no connection ({error})"
    return "something accepts connections there and speaks no ZMTP"
