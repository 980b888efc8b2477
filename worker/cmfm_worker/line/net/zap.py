"""The gate: says for every connection to a bound socket whether its key may come in (ZAP, ZeroMQ RFC 27).

One thread answers libzmq's requests from the allow-list of the socket's door, counts and logs refusals, and hears
from the sockets' monitors of connections that failed before they had a key. Were it gone, nobody would be let in.
"""

import threading
import time
from collections import Counter
from typing import Final

import structlog
import zmq
from zmq.utils import z85
from zmq.utils.monitor import recv_monitor_message

from cmfm_worker.line.net.curve import SOCKET_NAMES, Keys, SocketName, monitor_address
from cmfm_worker.line.net.sockets import Context, Socket

ZAP_ENDPOINT: Final = "inproc://zeromq.zap.01"
ZAP_VERSION: Final = b"1.0"
TICK_MS: Final = 100
"""Longest wait: the end is noticed within it."""

LOG_WINDOW_S: Final = 60.0
LOG_LINES: Final = 32
"""In each window every client is logged once for each door and answer, and so many lines are written at most."""


class ZapHandler:
    """Start it before the sockets it guards are bound; close it after they are closed."""

    def __init__(self, context: Context, keys: Keys) -> None:
        self._allowed = {str(door): allow_list for door, allow_list in keys.allowed.items()}
        self._told: set[tuple[str, ...]] = set()
        self._window_ends_s = 0.0
        self._stop = threading.Event()
        self._log = structlog.get_logger("security")
        self._zap: Socket = context.socket(zmq.REP)
        self._zap.bind(ZAP_ENDPOINT)
        self._monitors: dict[SocketName, Socket] = {door: context.socket(zmq.PAIR) for door in SOCKET_NAMES}
        for door, monitor in self._monitors.items():
            monitor.connect(monitor_address(door))
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)
        self.refused: Counter[str] = Counter()  # by door
        self.failure: BaseException | None = None

    def start(self) -> None:
        """Begin answering."""
        self._thread.start()

    def close(self) -> None:
        """Answer nobody any more."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        for socket in (self._zap, *self._monitors.values()):
            socket.close(0)

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # the service must hear of it: nobody could connect any more
            self.failure = error
            raise

    def _serve(self) -> None:
        poller = zmq.Poller()
        for socket in (self._zap, *self._monitors.values()):
            poller.register(socket, zmq.POLLIN)
        while not self._stop.is_set():
            ready = dict(poller.poll(TICK_MS))
            if self._zap in ready:
                self._zap.send_multipart(self._answer(self._zap.recv_multipart()))
            for door, monitor in self._monitors.items():
                if monitor in ready:
                    recv_monitor_message(monitor)
                    self._failed(door)

    def _answer(self, request: list[bytes]) -> list[bytes]:
        """The reply to a ZAP request: version, request id, status, text, user id, metadata."""
        if len(request) != 7 or request[0] != ZAP_VERSION or request[5] != b"CURVE" or len(request[6]) != 32:
            request_id = request[1] if len(request) > 1 else b""
            return [ZAP_VERSION, request_id, b"400", b"only CURVE is served", b"", b""]
        door, address = request[2].decode("utf-8", "replace"), request[3].decode("utf-8", "replace")
        key = z85.encode(request[6])
        allow_list = self._allowed.get(door)
        name = allow_list.name_of(key) if allow_list is not None else None
        if name is None:
            self.refused[door] += 1
            self._tell("client_refused", door, key=key.decode(), address=address, refused=self.refused[door])
            return [ZAP_VERSION, request[1], b"400", b"key is not allowed here", b"", b""]
        self._tell("client_admitted", door, client=name, address=address)
        return [ZAP_VERSION, request[1], b"200", b"OK", name.encode(), b""]

    def _failed(self, door: SocketName) -> None:
        self.refused[door] += 1
        detail = "no CURVE, or not with this worker's public key"
        self._tell("client_refused", door, detail=detail, refused=self.refused[door])

    def _tell(self, event: str, door: str, **facts: object) -> None:
        now_s = time.monotonic()
        if now_s >= self._window_ends_s:
            self._window_ends_s = now_s + LOG_WINDOW_S
            self._told.clear()
        who = (event, door, str(facts.get("key", facts.get("client", ""))))
        if who not in self._told and len(self._told) < LOG_LINES:
            self._told.add(who)
            log = self._log.warning if event == "client_refused" else self._log.info
            log(event, socket=door, **facts)
