"""The connection to the broker: aiomqtt, with the PUBACK reason codes and the broker's limits that it leaves out.

aiomqtt 2.5 takes every PUBACK for success, lets a publication wait for its time limit after the connection has ended,
ignores the limits that the broker states in its CONNACK, and leaves the socket of a connection that failed to the
garbage collector. This class overrides the four callbacks concerned.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Coroutine
from types import TracebackType
from typing import Any, Final, TypeVar

import aiomqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from cmfm_gateway.mqtt.publication import Publication

Answer = TypeVar("Answer")

MAX_MQTT_PACKET: Final = 268_435_460
"""Largest packet of MQTT: 256 MB and its header."""

MAX_RECEIVE: Final = 65_535
"""Unacknowledged publications that a broker allows if it does not say."""

PACKET_TOO_LARGE: Final = 0x95
"""Reason code."""

MAX_REQUESTS: Final = 64
"""Messages received and not yet handled; further ones are dropped, so that a flood costs no memory."""

PAHO_LOG: Final = logging.getLogger("cmfm_gateway.paho")
"""Paho's own lines go nowhere: each has its event in our log."""
PAHO_LOG.addHandler(logging.NullHandler())
PAHO_LOG.propagate = False

SOCKET_OPTIONS: Final = (
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
)


class BrokerRefusedError(Exception):
    """The broker acknowledged a publication with an error; the message names its reason."""

    def __init__(self, code: ReasonCode) -> None:
        super().__init__(f"{code} (0x{code.value:02x})")
        self.code = int(code.value)


class BrokerClient(aiomqtt.Client):
    """One connection. Use it as a context; `aiomqtt.MqttError` tells that it could not be made, or has ended."""

    def __init__(self, hostname: str, port: int, *, acknowledge_s: float, **options: Any) -> None:
        super().__init__(
            hostname,
            port,
            protocol=aiomqtt.ProtocolVersion.V5,
            clean_start=True,
            max_queued_incoming_messages=MAX_REQUESTS,
            max_inflight_messages=0,  # `send` counts them itself, by the broker's limit
            timeout=acknowledge_s,
            socket_options=SOCKET_OPTIONS,
            logger=PAHO_LOG,
            **options,
        )
        self.max_packet = MAX_MQTT_PACKET
        self.too_large: int | None = None  # size of the packet for which the broker ended the connection
        self.retains = True
        self._room = asyncio.Semaphore(MAX_RECEIVE)
        self._waiting: dict[int, tuple[asyncio.Future[None], int]] = {}

    async def send(self, publication: Publication) -> asyncio.Future[None]:
        """Send a publication; the future is done when the broker has acknowledged it.

        Waits while as many are unacknowledged as the broker allows. At QoS 0 the future is done at once. The future
        raises BrokerRefusedError, or MqttError if the connection ends first; so does this method.
        """
        if publication.qos:
            await self._room.acquire()
        acknowledged: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        acknowledged.add_done_callback(_retrieve)
        info = self._client.publish(
            publication.topic,
            publication.payload,
            publication.qos,
            publication.retain and self.retains,
            publication.properties(),
        )
        if info.rc != 0:
            raise aiomqtt.MqttCodeError(info.rc, "could not publish")
        if publication.qos:
            self._waiting[info.mid] = acknowledged, publication.size
        else:
            acknowledged.set_result(None)
        return acknowledged

    async def publish_now(self, publication: Publication) -> None:
        """Send a publication and wait for its acknowledgement, at most `acknowledge_s`. Raises as `send`."""
        try:
            async with asyncio.timeout(self.timeout):
                await (await self.send(publication))
        except TimeoutError:
            raise aiomqtt.MqttError(f"no acknowledgement within {self.timeout:g} s") from None

    async def subscribe_to(self, topic: str, *, retained: bool = False) -> None:
        """Subscribe at QoS 1, without the message that the broker has retained unless it is wanted.

        A retained command is one of the past: it must not be carried out at each connection. Raises
        BrokerRefusedError, MqttError.
        """
        handling = (
            SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if retained else SubscribeOptions.RETAIN_DO_NOT_SEND
        )
        options = SubscribeOptions(qos=1, retainAsPublished=True, retainHandling=handling)
        for code in await _stoppable(self.subscribe(topic, options=options)):
            if isinstance(code, ReasonCode) and code.is_failure:
                raise BrokerRefusedError(code)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect in good order if the connection is up, and close the socket in any case."""
        try:
            with contextlib.suppress(aiomqtt.MqttError):
                await _stoppable(super().__aexit__(kind, error, trace))
        finally:
            self._close()

    async def __aenter__(self) -> "BrokerClient":
        """Connect. Raises MqttError, also for a broker that does not answer in time."""
        try:
            await _stoppable(super().__aenter__())
        except BaseException:
            self._close()
            raise
        return self

    def _close(self) -> None:
        """Close the socket if paho has left it open: after a time limit, or after bytes that it cannot read."""
        if self._misc_task is not None:
            self._misc_task.cancel()
        left = self._client.socket()
        if left is not None:
            self._client._sock_close()
        self._fail_waiting("the connection has ended")

    def _fail_connecting(self, why: str) -> None:
        """End the wait for a CONNACK at once. paho may report the end from the thread that connects."""
        if not self._connected.done():
            self._connected.add_done_callback(_retrieve)
            self._connected.set_exception(aiomqtt.MqttError(why))

    def _fail_waiting(self, why: str) -> None:
        waiting, self._waiting = self._waiting, {}
        for acknowledged, _ in waiting.values():
            if not acknowledged.done():
                acknowledged.set_exception(aiomqtt.MqttError(why))

    def _on_connect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        """Take the broker's limits from its CONNACK."""
        self.max_packet = getattr(properties, "MaximumPacketSize", MAX_MQTT_PACKET)
        self.retains = bool(getattr(properties, "RetainAvailable", 1))
        self._room = asyncio.Semaphore(getattr(properties, "ReceiveMaximum", MAX_RECEIVE))
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_publish(  # paho calls it by position
        self, _client: Any, _userdata: Any, mid: int, reason_code: ReasonCode, _properties: Properties
    ) -> None:
        """Settle a publication by the reason code of its PUBACK."""
        acknowledged, _ = self._waiting.pop(mid, (None, 0))
        if acknowledged is None:
            return  # QoS 0, or a PUBACK that nobody asked for
        self._room.release()
        if acknowledged.done():
            return
        if reason_code.is_failure:
            acknowledged.set_exception(BrokerRefusedError(reason_code))
        else:
            acknowledged.set_result(None)

    def _on_disconnect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: ReasonCode,
        properties: Properties | None = None,
    ) -> None:
        super()._on_disconnect(client, userdata, flags, reason_code, properties)
        self._loop.call_soon_threadsafe(self._fail_connecting, f"closed before it greeted: {reason_code}")
        if reason_code.value == PACKET_TOO_LARGE:
            self.too_large = max((size for _, size in self._waiting.values()), default=None)
        self._fail_waiting(f"disconnected: {reason_code}")


async def _stoppable(call: Coroutine[Any, Any, Answer]) -> Answer:
    """Await a call of aiomqtt in a task of its own, so that a cancellation is never lost.

    aiomqtt awaits `asyncio.wait_for`, which before Python 3.12 forgets a cancellation that comes together with the
    answer: the gateway would not stop.
    """
    task = asyncio.ensure_future(call)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        raise


def _retrieve(acknowledged: "asyncio.Future[None]") -> None:
    """Mark an exception as seen: a session that ends does not look at each of its publications."""
    if not acknowledged.cancelled():
        acknowledged.exception()
