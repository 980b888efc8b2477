"""The ZAP handler (ZeroMQ RFC 27): decides for every connection to a CURVE server whether its key is allowed.

pyzmq's authenticator speaks the protocol; a credentials provider looks the key up in the allow-list of the socket, and
counts and logs the outcome. The same thread hears from the sockets' monitors of connections that failed before a key
was known, which ZAP never sees. If the handler is absent, libzmq refuses every client (ZMQ_ZAP_ENFORCE_DOMAIN).
"""

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import structlog
import zmq
from zmq.auth import Authenticator
from zmq.utils.monitor import recv_monitor_message

from cmfm_service.log_limit import LineLimit
from cmfm_worker.line.net.allow_list import AllowList
from cmfm_worker.line.net.curve import SOCKET_NAMES, Keys, SocketName, monitor_address
from cmfm_worker.line.net.sockets import Context, Socket

TICK_MS: Final = 100
"""Longest wait: a stop is noticed within it."""

LOG_WINDOW_S: Final = 60.0
LOG_LINES: Final = 32
"""In each window a client is logged once for each socket and outcome, and at most this many lines are written."""


class ConnectionLog:
    """Counts refused connections by socket, and logs outcomes at a limited rate."""

    def __init__(self, *, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.refused: Counter[str] = Counter()  # by socket name
        self._limit = LineLimit(window_s=LOG_WINDOW_S, most=LOG_LINES, clock_s=clock_s)
        self._log = structlog.get_logger("security")

    def admitted(self, socket: str, *, client: str, address: str) -> None:
        """Log a client whose key is allowed."""
        if self._has_room("client_admitted", socket, client):
            self._log.info("client_admitted", socket=socket, client=client, address=address)

    def refused_key(self, socket: str, *, key: str, address: str) -> None:
        """Count and log a client whose key is not allowed."""
        self.refused[socket] += 1
        if self._has_room("client_refused", socket, key):
            self._log.warning(
                "client_refused", socket=socket, key=key, address=address, refused=self.refused[socket]
            )

    def failed_handshake(self, socket: str) -> None:
        """Count and log a connection that failed before its key was known."""
        self.refused[socket] += 1
        if self._has_room("client_refused", socket, None):
            self._log.warning(
                "client_refused",
                socket=socket,
                detail="no CURVE, or not with this worker's public key",
                refused=self.refused[socket],
            )

    def _has_room(self, event: str, socket: str, who: object) -> bool:
        return self._limit.has_room((event, socket, who), 1)


class AllowedKeys:
    """The credentials provider of pyzmq's authenticator: one allow-list a ZAP domain (a socket's name)."""

    def __init__(self, allowed: Mapping[SocketName, AllowList], log: ConnectionLog) -> None:
        self._allowed: dict[str, AllowList] = {str(socket): keys for socket, keys in allowed.items()}
        self._log = log
        self.address = ""  # of the client whose request is being answered

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether a key (Z85) may connect to the socket of this domain; called by the authenticator."""
        client = self._allowed[domain].name_of(key)
        if client is None:
            self._log.refused_key(domain, key=key.decode(), address=self.address)
            return False
        self._log.admitted(domain, client=client, address=self.address)
        return True


class ZapHandler:
    """The thread "zap". Start it before the sockets that it guards are bound; close it after them."""

    def __init__(self, context: Context, keys: Keys) -> None:
        self._log = ConnectionLog()
        self._provider = AllowedKeys(keys.allowed, self._log)
        # Every socket with a domain is a CURVE server, so no NULL client, which pyzmq would admit, gets this far.
        self._authenticator = Authenticator(context, log=structlog.get_logger("security"))
        for domain in keys.allowed:
            self._authenticator.configure_curve_callback(domain, self._provider)
        self._authenticator.start()
        self._monitors: dict[SocketName, Socket] = {name: context.socket(zmq.PAIR) for name in SOCKET_NAMES}
        for name, monitor in self._monitors.items():
            monitor.connect(monitor_address(name))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="zap", daemon=True)
        self.failure: BaseException | None = None

    @property
    def refused(self) -> Counter[str]:
        """Refused connections by socket name."""
        return self._log.refused

    @property
    def running(self) -> bool:
        """Whether keys are being checked."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin to check keys."""
        self._thread.start()

    def close(self) -> None:
        """End the thread and close its sockets; from now on every new client is refused."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._authenticator.stop()
        for monitor in self._monitors.values():
            monitor.close(0)

    def _run(self) -> None:
        try:
            self._serve()
        except BaseException as error:  # `LineThreads.check` finds it: nobody could connect any more
            self.failure = error
            raise

    def _serve(self) -> None:
        zap: Socket = self._authenticator.zap_socket
        poller = zmq.Poller()
        for socket in (zap, *self._monitors.values()):
            poller.register(socket, zmq.POLLIN)
        with asyncio.Runner() as runner:  # the authenticator's method is a coroutine; ours never suspends it
            while not self._stop.is_set():
                ready = dict(poller.poll(TICK_MS))
                if zap in ready:
                    request = zap.recv_multipart()
                    self._provider.address = request[3].decode("utf-8", "replace") if len(request) > 3 else ""
                    runner.run(self._authenticator.handle_zap_message(request))
                for name, monitor in self._monitors.items():
                    if monitor in ready:
                        recv_monitor_message(monitor)
                        self._log.failed_handshake(name)
