"""The Sparkplug B adapter: an edge node's connection, from its will to its death.

NDATA goes at QoS 0, as the specification says, so no PUBACK tells what the broker has. After each batch the node
subscribes once more to its commands: the broker works a client's packets off in order, so its SUBACK confirms all that
was sent before. Only then the cursor advances.
"""

import asyncio
import contextlib
import time
from typing import Any, Final

import aiomqtt
import structlog

from cmfm_client.errors import NoReplyError, RefusedError
from cmfm_gateway.gateway import Gateway
from cmfm_gateway.mqtt.client import BrokerClient, BrokerRefusedError
from cmfm_gateway.mqtt.connection import broker_client, check_files
from cmfm_gateway.mqtt.counts import Counts
from cmfm_gateway.mqtt.outbox import Outbox, Outgoing
from cmfm_gateway.mqtt.payloads import LATE, STALE, delivery
from cmfm_gateway.mqtt.publication import Publication
from cmfm_gateway.mqtt.reconnect import keep_connected
from cmfm_gateway.settings.mqtt import MqttSection
from cmfm_gateway.settings.sparkplug import SparkplugSection
from cmfm_gateway.sparkplug.metrics import REBIRTH, RECIPE
from cmfm_gateway.sparkplug.node import EdgeNode, PrimaryHost
from cmfm_gateway.sparkplug.payload import Command, PayloadError, decode_commands
from cmfm_settings.names import is_name

CONSUMER: Final = "sparkplug"
ATTEMPTED: Final = "sparkplug.sent"
"""Cursors in the store: confirmed results, and results that were sent at least once."""

BATCH: Final = 100
"""Results between two confirmations."""

FAREWELL_S: Final = 2.0


class HostOfflineError(aiomqtt.MqttError):
    """The primary host application has gone: the node dies, and is born again when the host is back."""


class SparkplugAdapter:
    """Publishes the line as an edge node. Raises InputError naming a file that is unusable."""

    name = "sparkplug"

    def __init__(self, section: SparkplugSection, mqtt: MqttSection) -> None:
        check_files(mqtt)
        self._section = section
        self._mqtt = mqtt
        self._connects = 0
        self._log = structlog.get_logger("sparkplug")

    async def run(self, gateway: Gateway) -> None:
        """Serve until cancelled. A broker that is away, refuses or breaks off is logged and tried again."""
        section, mqtt, counts = self._section, self._mqtt, Counts(gateway, self.name)

        async def one_connection() -> None:
            node = EdgeNode(section.group, section.node, bd_seq=self._connects, commands=section.commands)
            self._connects += 1
            death = Publication(node.topic("NDEATH"), node.death(_now_ms()))
            identifier = f"{mqtt.identifier}-sparkplug"
            async with broker_client(mqtt, identifier=identifier, will=death) as client:
                counts.add("connections")
                self._log.info("sparkplug_connected", broker=f"{mqtt.host}:{mqtt.port}", bd_seq=node.bd_seq)
                await Connection(gateway, section, client, node, counts).run()

        await keep_connected(self.name, one_connection, counts, mqtt)


class Connection:
    """One connection of the edge node."""

    def __init__(
        self,
        gateway: Gateway,
        section: SparkplugSection,
        client: BrokerClient,
        node: EdgeNode,
        counts: Counts,
    ) -> None:
        self._gateway = gateway
        self._section = section
        self._client = client
        self._node = node
        self._counts = counts
        self._host = PrimaryHost(section.primary_host) if section.primary_host else None
        self._host_online = asyncio.Event()
        self._log = structlog.get_logger("sparkplug")

    async def run(self) -> None:
        """Subscribe, wait for the primary host, be born, publish until the connection ends; then die in order.

        Raises MqttError when the connection has ended, HostOfflineError among them.
        """
        try:
            await self._serve()
        except* HostOfflineError:
            await self._die()
            raise

    async def _serve(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._listen())
                tasks.create_task(self._live())
        except asyncio.CancelledError:
            await self._die()
            raise

    async def _listen(self) -> None:
        """Take commands and the host's state; notices the end of the connection. Raises MqttError."""
        async for message in self._client.messages:
            payload = message.payload if isinstance(message.payload, bytes) else b""
            if self._host is not None and str(message.topic) == self._host.topic:
                self._hear_host(payload)
            elif not message.retain:
                await self._obey(payload)

    def _hear_host(self, payload: bytes) -> None:
        if self._host is None or not self._host.hear(payload):
            self._counts.add("requests_refused")
            return
        if self._host.online:
            self._host_online.set()
        elif self._host_online.is_set():
            raise HostOfflineError("the primary host application is offline")

    async def _obey(self, payload: bytes) -> None:
        try:
            commands = decode_commands(payload)
        except PayloadError as error:
            self._counts.add("requests_refused")
            self._log.warning("sparkplug_command_refused", why=str(error))
            return
        for command in commands:
            await self._do(command)

    async def _do(self, command: Command) -> None:
        if command.name == REBIRTH and command.value is True:
            self._log.info("sparkplug_rebirth")
            await self._send("NBIRTH", self._node.birth(self._gateway.view, _now_ms()))
        elif command.name == RECIPE and self._section.commands:
            await self._load_recipe(command.value)
        else:
            self._counts.add("requests_refused")
            self._log.warning(
                "sparkplug_command_refused", name=command.name[:60], why="not a command of this node"
            )

    async def _load_recipe(self, name: Any) -> None:
        why = "not a recipe's name"
        if isinstance(name, str) and is_name(name):
            try:
                self._log.info("sparkplug_recipe_requested", recipe=name)
                await self._gateway.load_recipe(name)
            except (NoReplyError, RefusedError) as error:
                why = str(error)
            else:
                return
        self._counts.add("requests_refused")
        self._log.warning("sparkplug_command_refused", name=RECIPE, why=why)

    async def _live(self) -> None:
        if self._host is not None:
            await self._client.subscribe_to(self._host.topic, retained=True)
            await self._host_online.wait()
        await self._confirm_sent()
        await self._send("NBIRTH", self._node.birth(self._gateway.view, _now_ms()))
        outbox = Outbox(
            confirmed=self._gateway.store.cursor(CONSUMER),
            attempted=self._gateway.store.cursor(ATTEMPTED),
            window=BATCH,
        )
        seen = -1
        while True:
            await self._send_line()
            while await self._send_results(outbox):
                await self._send_line()
            seen = await self._gateway.changed(seen)

    async def _send_line(self) -> None:
        data = self._node.line_data(self._gateway.view, _now_ms())
        if data is not None:
            await self._send("NDATA", data)

    async def _send_results(self, outbox: Outbox) -> int:
        """Send one batch and have it confirmed; returns its length."""
        store = self._gateway.store
        batch = outbox.take(store.after(outbox.next_after, limit=outbox.room))
        if not batch:
            return 0
        store.advance(ATTEMPTED, outbox.attempted)
        for outgoing in batch:
            await self._send_result(outgoing)
        await self._confirm_sent()
        for outgoing in batch:
            outbox.settle(outgoing.stored.number)
        store.advance(CONSUMER, outbox.confirmed)
        self._counts.add("acknowledged", len(batch))
        if dropped := outbox.take_dropped():
            self._counts.add("dropped", dropped)
            self._log.error("gap", consumer=CONSUMER, results=dropped)
        return len(batch)

    async def _send_result(self, outgoing: Outgoing) -> None:
        now_ns = time.time_ns()
        how = delivery(outgoing.stored, self._gateway.view, now_ns=now_ns, dup=outgoing.repeated)
        historical = outgoing.repeated or how.cause in (STALE, LATE)
        data = self._node.result_data(outgoing.stored, how, historical=historical, now_ms=now_ns // 1_000_000)
        await self._send("NDATA", data)
        self._counts.add("sent")
        self._counts.add("repeated", outgoing.repeated)

    async def _confirm_sent(self) -> None:
        """Subscribe to commands, once more: the broker's answer confirms all that was sent before."""
        topic = self._node.topic("NCMD")
        try:
            await self._client.subscribe_to(topic)
        except BrokerRefusedError as refused:  # an answer all the same
            self._counts.add("refused")
            self._log.warning("sparkplug_refused", topic=topic, why=str(refused))

    async def _send(self, kind: str, payload: bytes) -> None:
        publication = Publication(self._node.topic(kind), payload, qos=0)
        if publication.size > self._client.max_packet:
            self._counts.add("skipped")
            self._log.error("sparkplug_too_large", topic=publication.topic, limit=self._client.max_packet)
            return
        await self._client.send(publication)

    async def _die(self) -> None:
        """Publish NDEATH: the broker does not publish the will of a client that disconnects in order."""
        with contextlib.suppress(aiomqtt.MqttError, BrokerRefusedError, TimeoutError):
            async with asyncio.timeout(FAREWELL_S):
                await self._client.publish_now(
                    Publication(self._node.topic("NDEATH"), self._node.death(_now_ms()))
                )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
