"""`cmfm-gateway --config gateway.toml`: run the gateway until SIGTERM or SIGINT."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from cmfm_gateway.adapters import adapters_of
from cmfm_gateway.errors import ExitCode, InputError
from cmfm_gateway.gateway import Adapter, Gateway
from cmfm_gateway.metrics import serve_metrics
from cmfm_gateway.problems import problems_of
from cmfm_gateway.settings.load import load_with_sources
from cmfm_gateway.settings.model import GatewaySettings
from cmfm_service.log import logging_to_stderr
from cmfm_service.systemd import SystemdNotifier

CANCEL_AGAIN_S: Final = 2.0


def run_gateway(config: Path) -> int:
    """Run until told to stop; returns the exit code. Raises InputError, StartupError and errors of key files."""
    settings = load_with_sources(config).settings
    if problems := problems_of(settings):
        raise InputError("\n".join(problems))
    adapters = adapters_of(settings)
    with logging_to_stderr(settings.log.format, settings.log.level):
        asyncio.run(serve(settings, adapters))
    return int(ExitCode.OK)


async def end(running: asyncio.Task[None]) -> None:
    """Cancel the gateway's task and wait for it; raises what it raises.

    `asyncio.wait_for` of Python 3.11 and libraries that use it lose a cancellation that comes with a result. What has
    not ended by then is cancelled again.
    """
    running.cancel()
    await asyncio.wait({running}, timeout=CANCEL_AGAIN_S)
    while not running.done():
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
        await asyncio.wait({running}, timeout=CANCEL_AGAIN_S)
    with contextlib.suppress(asyncio.CancelledError):
        await running


async def serve(settings: GatewaySettings, adapters: Sequence[Adapter]) -> None:
    """Start, run, stop. Returns after SIGTERM or SIGINT; raises StartupError, and the error that ended the gateway."""
    log = structlog.get_logger("gateway")
    notifier = SystemdNotifier.from_environment(os.environ, os.getpid())
    gateway = Gateway(settings)
    stop_metrics = serve_metrics(gateway)
    running = asyncio.create_task(gateway.run(adapters, lambda: notifier.ready("running")))
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    log.info("gateway_started", adapters=[adapter.name for adapter in adapters])
    waiting = asyncio.create_task(told.wait())
    try:
        await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        await (end(running) if told.is_set() else running)
        log.info("gateway_stopped")
    finally:
        waiting.cancel()
        notifier.stopping("stopping")
        notifier.close()
        stop_metrics()
