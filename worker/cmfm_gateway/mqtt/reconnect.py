"""Connects again and again, for the adapters of MQTT and Sparkplug. A broker that is away ends nothing else."""

import asyncio
import sqlite3
import time
from collections.abc import Awaitable, Callable

import aiomqtt
import structlog

from cmfm_gateway.errors import AdapterError, first_error
from cmfm_gateway.mqtt.client import BrokerRefusedError
from cmfm_gateway.mqtt.connection import Backoff
from cmfm_gateway.mqtt.counts import Counts
from cmfm_gateway.settings.mqtt import MqttSection
from cmfm_settings.errors import InputError


async def keep_connected(
    name: str, one_connection: Callable[[], Awaitable[None]], counts: Counts, section: MqttSection
) -> None:
    """Run one connection after another until cancelled, with growing pauses.

    What ends a connection is counted and logged as `<name>_disconnected`. Raises AdapterError for a file of the
    settings that can no longer be used.
    """
    log = structlog.get_logger(name)
    backoff = Backoff(section.reconnect_max_s)
    broker = f"{section.host}:{section.port}"
    while True:
        began_s, made = time.monotonic(), counts.of("connections")
        why, unusable = "", ""
        try:
            await one_connection()
        except* InputError as errors:
            unusable = _why(errors)
        except* (aiomqtt.MqttError, BrokerRefusedError, OSError, sqlite3.Error) as errors:
            why = _why(errors)
        if unusable:
            raise AdapterError(unusable)
        counts.add("failures")
        lived_s = time.monotonic() - began_s if counts.of("connections") > made else 0.0
        pause_s = backoff.pause_s(lived_s)
        log.warning(f"{name}_disconnected", broker=broker, why=why, again_in_s=round(pause_s, 2))
        await asyncio.sleep(pause_s)


def _why(errors: BaseExceptionGroup[BaseException]) -> str:
    """Return the message of the first error, or its type if it has none."""
    first = first_error(errors)
    return str(first) or type(first).__name__
