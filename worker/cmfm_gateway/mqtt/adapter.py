"""The MQTT adapter: results, line reports and requests over one connection after another."""

import asyncio
import contextlib
from typing import Final

import aiomqtt
import structlog

from cmfm_gateway.gateway import Gateway
from cmfm_gateway.mqtt.client import BrokerClient, BrokerRefusedError
from cmfm_gateway.mqtt.connection import broker_client, check_files
from cmfm_gateway.mqtt.counts import Counts
from cmfm_gateway.mqtt.line_reports import LineReports, farewell, will
from cmfm_gateway.mqtt.pictures import open_pictures
from cmfm_gateway.mqtt.reconnect import keep_connected
from cmfm_gateway.mqtt.requests import Requests
from cmfm_gateway.mqtt.result_sender import ResultSender
from cmfm_gateway.settings.mqtt import MqttSection

FAREWELL_S: Final = 2.0
"""Time for the last message when the gateway stops; after it the broker publishes the will."""


class MqttAdapter:
    """Publishes results, state, recipes and health; serves requests.

    Raises InputError naming a file of the settings that cannot be used.
    """

    name = "mqtt"

    def __init__(self, section: MqttSection) -> None:
        check_files(section)
        self._section = section
        self._log = structlog.get_logger("mqtt")

    async def run(self, gateway: Gateway) -> None:
        """Serve until cancelled. A broker that is away, refuses or breaks off is logged and tried again."""
        section, counts = self._section, Counts(gateway, self.name)
        sender = ResultSender(gateway, section, counts)
        reports = LineReports(gateway, section, counts, sender.outbox)
        with open_pictures(gateway.settings) as pictures:
            requests = Requests(gateway, section, counts, pictures)

            async def one_connection() -> None:
                async with broker_client(
                    section, identifier=section.identifier, will=will(section)
                ) as client:
                    counts.add("connections")
                    self._log.info("mqtt_connected", broker=f"{section.host}:{section.port}")
                    await _serve(client, section, sender, reports, requests)

            await keep_connected(self.name, one_connection, counts, section)


async def _serve(
    client: BrokerClient, section: MqttSection, sender: ResultSender, reports: LineReports, requests: Requests
) -> None:
    """Serve until the connection ends; say farewell if the gateway stops first."""
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(requests.run(client))
            tasks.create_task(sender.run(client))
            tasks.create_task(reports.run(client))
    except asyncio.CancelledError:
        with contextlib.suppress(aiomqtt.MqttError, BrokerRefusedError, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await client.publish_now(farewell(section))
        raise
