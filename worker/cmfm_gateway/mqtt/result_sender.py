"""Sends stored results in order and confirms them as the broker acknowledges; nothing is lost, repeats are marked."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import aiomqtt
import structlog

from cmfm_gateway.gateway import Gateway
from cmfm_gateway.mqtt.client import (
    MAX_MQTT_PACKET,
    PACKET_TOO_LARGE,
    BrokerClient,
    BrokerRefusedError,
)
from cmfm_gateway.mqtt.counts import Counts
from cmfm_gateway.mqtt.outbox import Outbox, Outgoing
from cmfm_gateway.mqtt.payloads import CONTENT_TYPE, delivery, result_json
from cmfm_gateway.mqtt.publication import Publication
from cmfm_gateway.mqtt.topics import Topics
from cmfm_gateway.settings.mqtt import MqttSection
from cmfm_protocol.wire.verdict import Verdict

CONSUMER: Final = "mqtt"
"""Name of the cursor of confirmed results in the store."""

ATTEMPTED: Final = "mqtt.sent"
"""Name of the cursor of results that were sent at least once."""

NEVER_TAKEN: Final = frozenset({PACKET_TOO_LARGE, 0x99})
"""Reason codes that a repetition cannot change: packet too large, payload format invalid."""

REFUSED_PAUSE_S: Final = 1.0
"""Pause before a result goes again that the broker refused: no permission, quota exceeded. Doubled up to the limit."""


class ResultSender:
    """Sends results over one connection after another; `outbox` outlives each."""

    def __init__(self, gateway: Gateway, section: MqttSection, counts: Counts) -> None:
        store = gateway.store
        self.outbox = Outbox(
            confirmed=store.cursor(CONSUMER), attempted=store.cursor(ATTEMPTED), window=section.inflight
        )
        self._largest_packet = MAX_MQTT_PACKET  # less, once a broker has cut a connection for it
        self._gateway = gateway
        self._section = section
        self._counts = counts
        self._topics = Topics(section.site, section.line)
        self._log = structlog.get_logger("mqtt")
        self._wake = asyncio.Event()
        self._pending: Counter[int] = Counter()
        self._refused: set[int] = set()
        self._refusal = ""
        self._refused_pause_s = REFUSED_PAUSE_S
        self._stored = self.outbox.confirmed
        self._answered_s = 0.0  # when the broker last answered, or the first of those in flight was sent

    async def run(self, client: BrokerClient) -> None:
        """Send until the connection ends. Raises MqttError if the broker does not acknowledge in time."""
        self._start_again()
        self._pending.clear()
        watch = asyncio.create_task(self._watch())
        try:
            while True:
                self._wake.clear()
                if not self._refusal:
                    await self._fill(client)
                elif not self._pending:
                    await self._wait_after_refusal()
                    continue
                await self._wait()
                self._confirm()
        finally:
            watch.cancel()
            self._confirm()
            if client.too_large is not None:
                self._largest_packet = client.too_large - 1

    async def _watch(self) -> None:
        seen = -1
        while True:
            seen = await self._gateway.changed(seen)
            self._wake.set()

    async def _fill(self, client: BrokerClient) -> None:
        """Send what the store has and the window takes."""
        outbox = self.outbox
        if outbox.room == 0:
            return
        batch = outbox.take(self._gateway.store.after(outbox.next_after, limit=outbox.room))
        if not batch:
            return
        self._count_dropped()
        self._gateway.store.advance(ATTEMPTED, outbox.attempted)
        for outgoing in batch:
            await self._send(client, outgoing)
            if self._refusal:
                return  # what was taken and not sent goes again

    async def _send(self, client: BrokerClient, outgoing: Outgoing) -> None:
        number = outgoing.stored.number
        publications = self._publications(client, outgoing)
        if not publications:
            self._skip(number, "larger than the broker takes")
            return
        if not self._pending:
            self._answered_s = time.monotonic()
        self._pending[number] = len(publications)
        for publication in publications:
            try:
                async with asyncio.timeout(self._section.acknowledge_s):
                    acknowledged = await client.send(publication)
            except TimeoutError:
                raise self._no_acknowledgement() from None
            acknowledged.add_done_callback(self._settled(number, publication.topic))
        self._counts.add("sent")
        self._counts.add("repeated", outgoing.repeated)

    def _publications(self, client: BrokerClient, outgoing: Outgoing) -> list[Publication]:
        """The messages for one result, without its regions if it is too large; none if it cannot be sent at all."""
        limit = min(client.max_packet, self._largest_packet)
        for leave_out in (0, len(outgoing.stored.result.regions)):
            publications = self._encoded(outgoing, leave_out)
            if max(publication.size for publication in publications) <= limit:
                return publications
        return []

    def _encoded(self, outgoing: Outgoing, leave_out: int) -> list[Publication]:
        stored, view = outgoing.stored, self._gateway.view
        how = delivery(stored, view, now_ns=time.time_ns(), dup=outgoing.repeated, regions_left_out=leave_out)
        payload = result_json(stored, how)
        result = stored.result
        user = (
            ("boot_id", result.boot_id),
            ("result_id", str(result.result_id)),
            ("valid", str(how.valid).lower()),
            ("dup", str(how.dup).lower()),
        )
        topics = [self._topics.result] + ([self._topics.reject] if result.verdict is not Verdict.PASS else [])
        return [
            Publication(
                topic, payload, expiry_s=self._section.result_expiry_s, content_type=CONTENT_TYPE, user=user
            )
            for topic in topics
        ]

    def _settled(self, number: int, topic: str) -> Callable[["asyncio.Future[None]"], Any]:
        """Return a callback that notes the end of one of a result's messages: acknowledged, refused, or lost."""

        def note(acknowledged: "asyncio.Future[None]") -> None:
            error = (
                acknowledged.exception() if not acknowledged.cancelled() else aiomqtt.MqttError("cancelled")
            )
            self._answered_s = time.monotonic()
            self._pending[number] -= 1
            if self._pending[number] <= 0:
                del self._pending[number]
            if isinstance(error, BrokerRefusedError) and error.code in NEVER_TAKEN:
                self._skip(number, str(error))
            elif isinstance(error, BrokerRefusedError):
                self._counts.add("refused")
                self._refusal = f"{topic}: {error}"
                self._refused.add(number)
            elif error is None and number not in self._pending and number not in self._refused:
                self._counts.add("acknowledged")
                self.outbox.settle(number)
            self._wake.set()

        return note

    def _skip(self, number: int, why: str) -> None:
        """Give a result up that this broker will never take, so that the others go on."""
        self._counts.add("skipped")
        self._log.error("mqtt_result_skipped", number=number, why=why)
        self.outbox.settle(number)
        self._wake.set()

    async def _wait(self) -> None:
        """Wait for an acknowledgement or a new result; a new result does not extend the time of those before it."""
        left_s = self._answered_s + self._section.acknowledge_s - time.monotonic()
        try:
            async with asyncio.timeout(max(left_s, 0.0) if self._pending else None):
                await self._wake.wait()
        except TimeoutError:
            raise self._no_acknowledgement() from None

    async def _wait_after_refusal(self) -> None:
        """Say what was refused, wait, and go on from the first result that is not confirmed."""
        self._confirm()
        self._log.warning(
            "mqtt_refused",
            why=self._refusal,
            from_number=self.outbox.confirmed + 1,
            again_in_s=self._refused_pause_s,
        )
        await asyncio.sleep(self._refused_pause_s)
        self._refused_pause_s = min(self._refused_pause_s * 2, self._section.reconnect_max_s)
        self._start_again()

    def _start_again(self) -> None:
        self.outbox.rewind()
        self._refused.clear()
        self._refusal = ""

    def _confirm(self) -> None:
        """Store how far the broker has acknowledged."""
        if self.outbox.confirmed > self._stored:
            self._stored = self.outbox.confirmed
            self._gateway.store.advance(CONSUMER, self._stored)
            self._refused_pause_s = REFUSED_PAUSE_S

    def _count_dropped(self) -> None:
        dropped = self.outbox.take_dropped()
        if dropped:
            self._counts.add("dropped", dropped)
            self._log.error("gap", consumer=CONSUMER, results=dropped)

    def _no_acknowledgement(self) -> aiomqtt.MqttError:
        return aiomqtt.MqttError(f"no acknowledgement within {self._section.acknowledge_s:g} s")
