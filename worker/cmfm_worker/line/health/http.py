"""A small HTTP server: `/metrics` for Prometheus, `/livez` and `/readyz` for Kubernetes.

`/livez` fails if the process should be restarted, `/readyz` while the line accepts no frames. Both answer 200 or 503
with a few lines for people.
"""

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Final, NamedTuple
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from cmfm_worker.errors import StartupError

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

CLIENT_LIMIT_S: Final = 5.0
"""A client that sends or reads nothing for this long is disconnected."""


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
    """Serves each request in a daemon thread, so that a slow client delays no other and not the end of the process."""

    daemon_threads = True
    block_on_close = False


class _Handler(WSGIRequestHandler):
    """Logs no requests: kubelets send one every few seconds."""

    timeout = CLIENT_LIMIT_S

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
        """Do nothing."""
