"""The HTTP server: uvicorn with bounded connections, none of which may wait for ever, and our log."""

import asyncio
import logging
import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import structlog
import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from cmfm_hmi.errors import StartupError
from cmfm_hmi.settings.page import PageSection

BACKLOG: Final = 512
KEEP_ALIVE_S: Final = 15
CLOSE_LIMIT_S: Final = 2
"""Time for open requests when the page ends."""

REQUEST_LIMIT_S: Final = 15.0
"""A connection on which no request has been completed within this is closed: it would keep its place for ever."""

CONNECTIONS_A_BROWSER: Final = 6
OWN_FILES: Final = 256
"""Files beside connections: sockets of the line, the ledger, pipes of children."""


class Server(uvicorn.Server):
    """uvicorn's server in a loop whose signals are ours. `on_stop` ends what would keep requests open."""

    def __init__(self, config: uvicorn.Config, on_stop: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_stop = on_stop

    def stop(self) -> None:
        """End after the open requests, or at once the second time."""
        self._on_stop()
        self.force_exit = self.should_exit
        self.should_exit = True

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to our caller: uvicorn would end the process by the signal, with its exit code."""
        yield


class PromptProtocol(H11Protocol):
    """Closes a connection whose next request does not come, or comes in drops, within `REQUEST_LIMIT_S`."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._follow()

    def data_received(self, data: bytes) -> None:
        """Take data; wait on if they are not a whole head."""
        super().data_received(data)
        self._follow()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        super().connection_lost(exc)
        self._stop_waiting()

    def _follow(self) -> None:
        is_answering = self.cycle is not None and not self.cycle.response_complete
        if is_answering or self.transport.is_closing():
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(REQUEST_LIMIT_S, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None


class _ToOurLog(logging.Handler):
    """Passes uvicorn's warnings on to our log, which limits lines of one kind."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one line."""
        error = record.exc_info[1] if record.exc_info else None
        structlog.get_logger("http").warning("http_trouble", detail=record.getMessage(), error=repr(error))


def uvicorn_config(section: PageSection, app: ASGIApp) -> uvicorn.Config:
    """Return uvicorn's settings: our log, one loop, HTTP/1.1, bounded connections."""
    logger = logging.getLogger("uvicorn")
    logger.handlers, logger.propagate = [_ToOurLog(logging.WARNING)], False
    connections = CONNECTIONS_A_BROWSER * section.browsers
    allow_files(connections + OWN_FILES)
    return uvicorn.Config(
        app,
        loop="asyncio",
        http=PromptProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=CLOSE_LIMIT_S,
        limit_concurrency=connections,
        ssl_certfile=section.certificate,
        ssl_keyfile=section.private_key,
    )


def allow_files(wanted: int) -> None:
    """Raise this process's limit of open files to `wanted`, as far as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        structlog.get_logger("hmi").warning("few_files", allowed=most, wanted=wanted)


@contextmanager
def listening(section: PageSection) -> Iterator[socket.socket]:
    """Bind the page's address. Raises StartupError if it is taken."""
    try:
        family, _, _, _, address = socket.getaddrinfo(section.host, section.port, type=socket.SOCK_STREAM)[0]
        listener = socket.create_server(address[:2], family=family, backlog=BACKLOG)
    except OSError as error:
        raise StartupError(f"page: cannot listen on {section.host}:{section.port}: {error}") from error
    with listener:
        yield listener


def address_of(section: PageSection, listener: socket.socket) -> str:
    """Return the address for a browser on this machine."""
    scheme = "https" if section.certificate is not None else "http"
    host = f"[{section.host}]" if ":" in section.host else section.host
    return f"{scheme}://{host}:{listener.getsockname()[1]}/"
