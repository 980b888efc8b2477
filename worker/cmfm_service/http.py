"""A small HTTP server: `/metrics` for Prometheus, `/livez` and `/readyz` for Kubernetes.

`/livez` fails if the process should be restarted, `/readyz` while the line accepts no frames. Both answer 200 or 503
with a few lines for people.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from cmfm_service.errors import StartupError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CLIENT_LIMIT_S: Final = 5.0
"""A client whose request is not answered and read within this is disconnected."""

MAX_CLIENTS: Final = 16
"""Clients served at once."""


class Health(NamedTuple):
    """The outcome of a probe: whether it passes, and why."""

    passes: bool
    text: str


Probe = Callable[[], Health]


def application(metrics: "WSGIApplication", probes: dict[str, Probe]) -> "WSGIApplication":
    """Return the WSGI application: metrics, the probes by path, and 404 for everything else."""

    def respond(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environ, start_response)
        if path in probes:
            passes, text = probes[path]()
            status = "200 OK" if passes else "503 Service Unavailable"
        else:
            status, text = "404 Not Found", f"there are /metrics, {', '.join(sorted(probes))}"
        body = f"{text}\n".encode()
        start_response(
            status,
            [
                ("Content-Type", "text/plain; charset=utf-8"),
                ("Content-Length", str(len(body))),
                ("Cache-Control", "no-store"),
            ],
        )
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [body]

    return respond


def serve_http(host: str, port: int, served: "WSGIApplication") -> tuple[int, Callable[[], None]]:
    """Start the server; returns its port and a function that stops it. Raises StartupError if the port is taken."""
    try:
        server = _Server((host, port), _Handler)
    except OSError as error:
        raise StartupError(f"metrics: cannot listen on {host}:{port}: {error}") from error
    server.set_app(served)
    thread = threading.Thread(target=server.serve_forever, name="http", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(CLIENT_LIMIT_S)

    return server.server_port, stop


class _Server(ThreadingMixIn, WSGIServer):
    """Serves each request in a daemon thread, so that a slow client delays no other and not the end of the process.

    A client has `CLIENT_LIMIT_S` in all, however it spreads what it sends. Beyond `MAX_CLIENTS` the oldest is
    disconnected for the newest, so that probes get through; with twice as many threads the newest is turned away.
    """

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, *arguments: Any) -> None:
        self._clients: dict[socket.socket, float] = {}  # → when it must have ended, oldest first
        self._lock = threading.Lock()
        super().__init__(*arguments)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Start the thread of a request, or turn it away."""
        with self._lock:
            clients = list(self._clients)
            if len(clients) < 2 * MAX_CLIENTS:
                self._clients[request] = time.monotonic() + CLIENT_LIMIT_S
        if len(clients) >= MAX_CLIENTS:
            _disconnect(clients[: len(clients) - MAX_CLIENTS + 1])
        if len(clients) < 2 * MAX_CLIENTS:
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def service_actions(self) -> None:
        """Disconnect clients that are too slow; `serve_forever` calls it twice a second."""
        now_s = time.monotonic()
        with self._lock:
            late = [client for client, end_s in self._clients.items() if now_s >= end_s]
        _disconnect(late)

    def shutdown_request(self, request: Any) -> None:
        """Close a connection, and forget it."""
        with self._lock:
            self._clients.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Do nothing: clients that are disconnected in the middle are no errors of ours."""


def _disconnect(clients: Iterable[socket.socket]) -> None:
    for client in clients:
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)


class _Handler(WSGIRequestHandler):
    """Logs no requests: kubelets send one every few seconds."""

    timeout = CLIENT_LIMIT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Do nothing."""
