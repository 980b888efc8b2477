"""`cmfm-hmi --config hmi.toml`: serve the page until SIGTERM or SIGINT."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import structlog

from cmfm_hmi.audit import AuditLog
from cmfm_hmi.board.board import LiveBoard
from cmfm_hmi.board.pictures import LivePictures
from cmfm_hmi.commands import WorkerCommands
from cmfm_hmi.errors import ExitCode, InputError
from cmfm_hmi.history import History
from cmfm_hmi.kept.kept_parts import KeptParts
from cmfm_hmi.kept.marks import Marks
from cmfm_hmi.kept.picture_cache import PictureCache
from cmfm_hmi.line.feed import LineFeed
from cmfm_hmi.line.live_line import LiveLine
from cmfm_hmi.metrics import serve_metrics
from cmfm_hmi.problems import problems_of
from cmfm_hmi.rendering import Templates
from cmfm_hmi.security.lock import LineLock
from cmfm_hmi.security.secret import read_or_make_secret
from cmfm_hmi.security.sessions import Sessions
from cmfm_hmi.security.users import Users
from cmfm_hmi.server import Server, address_of, listening, uvicorn_config
from cmfm_hmi.settings.load import load_with_sources
from cmfm_hmi.settings.model import HmiSettings
from cmfm_hmi.site import Site
from cmfm_hmi.store import PageStore
from cmfm_hmi.web import application
from cmfm_hmi.worker_requests import WorkerRequests
from cmfm_service.log import logging_to_stderr
from cmfm_service.systemd import SystemdNotifier

AUDIT_REPLY_S: Final = 1.0
"""Time for the worker to confirm an audit entry, which it writes to its disk first."""


def run_hmi(config: Path) -> int:
    """Serve until told to stop; returns the exit code. Raises InputError, StartupError and errors of key files."""
    settings = load_with_sources(config).settings
    if problems := problems_of(settings):
        raise InputError("\n".join(problems))
    with logging_to_stderr(settings.log.format, settings.log.level):
        asyncio.run(serve(settings))
    return int(ExitCode.OK)


async def serve(settings: HmiSettings) -> None:
    """Start, run, stop. Returns after SIGTERM or SIGINT; raises StartupError, and the error that ended the server."""
    log = structlog.get_logger("hmi")
    notifier = SystemdNotifier.from_environment(os.environ, os.getpid())
    with listening(settings.page) as listener:
        async with open_site(settings) as site:
            server = Server(uvicorn_config(settings.page, application(site)), site.board.close)
            for number in (signal.SIGTERM, signal.SIGINT):
                asyncio.get_running_loop().add_signal_handler(number, server.stop)
            stop_metrics = serve_metrics(site)
            address = address_of(settings.page, listener)
            log.info("hmi_started", address=address)
            notifier.ready(f"serving {address}")
            try:
                await serve_while_followed(server, site.board, listener)
            finally:
                stop_metrics()
                notifier.stopping("stopping")
                notifier.close()
                log.info("hmi_stopped")


async def serve_while_followed(server: Server, board: LiveBoard, listener: socket.socket) -> None:
    """Serve until told to stop. A board that fails ends the process: a page that stands still would look well."""
    serving = asyncio.create_task(server.serve([listener]), name="server")
    await asyncio.wait({serving, board.following}, return_when=asyncio.FIRST_COMPLETED)
    server.stop()
    await serving
    if board.following.done():
        await board.following


@asynccontextmanager
async def open_site(settings: HmiSettings) -> AsyncIterator[Site]:
    """Open everything that pages share, and close it. Raises InputError, StartupError, EndpointError, KeyFileError."""
    secret = read_or_make_secret(settings.access.secret)
    async with contextlib.AsyncExitStack() as stack:
        store = PageStore(settings.page.store)
        stack.callback(store.close)
        users, lock, ended = (
            Users(settings.access.users),
            LineLock(settings.access),
            ended_sessions(store, settings),
        )
        requests = WorkerRequests(settings.worker)
        audit = AuditLog(store, lambda request: requests.ask_now(request, AUDIT_REPLY_S))
        live, history, commands = LiveLine(), History(settings.records), WorkerCommands(settings.worker)
        live.attach(asyncio.get_running_loop())
        feed = LineFeed(settings.worker, live)
        stack.callback(feed.close)
        stack.callback(history.close)
        stack.callback(requests.close)
        kept = KeptParts(settings.records.kept, settings.page.store.with_suffix(".kept.sqlite"))
        stack.callback(kept.close)
        pictures = PictureCache()
        stack.callback(pictures.close)
        stack.push_async_callback(commands.close)
        stack.push_async_callback(audit.close)
        board = LiveBoard(live, history, LivePictures(live), settings.page, lambda: lock.state)
        stack.push_async_callback(board.end)
        site = Site(
            settings=settings,
            live=live,
            board=board,
            history=history,
            kept=kept,
            pictures=pictures,
            marks=Marks(settings.records.collected),
            commands=commands,
            requests=requests,
            audit=audit,
            pages=Templates(
                lock,
                title=f"{settings.worker.line} / {settings.worker.station}",
                language=settings.page.language,
            ),
            lock=lock,
            users=users,
            sessions=Sessions(
                secret,
                users,
                port=settings.page.port,
                hours=settings.access.session_hours,
                anonymous_may_view=settings.access.anonymous_may_view,
                is_ended=ended.__contains__,
            ),
            store=store,
            ended=ended,
        )
        feed.start()
        board.start()
        audit.start()
        yield site


def ended_sessions(store: PageStore, settings: HmiSettings) -> set[str]:
    """Return the sessions that were logged out and whose cookies are not too old yet; forget the others."""
    oldest_ns = time.time_ns() - int(settings.access.session_hours * 3600e9)
    store.change("DELETE FROM ended_sessions WHERE ended_ns < ?", (oldest_ns,))
    return {str(row[0]) for row in store.rows("SELECT session_id FROM ended_sessions")}
