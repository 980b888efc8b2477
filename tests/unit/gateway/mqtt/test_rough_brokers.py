"""Brokers that break off, keep silent, send garbage or have narrow limits: counted, tried again, nothing lost."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from tests.unit.made.mqtt_gateway import MadeGateway, running_adapter
from tests.unit.made.rough_broker import (
    CLOSE,
    GOOD_CONNACK,
    Answer,
    RoughBroker,
    connack,
    disconnect,
    maximum_packet,
    puback,
    receive_maximum,
)
from tests.unit.made.running_gateway import until
from tests.unit.made.verdicts import result

from cmfm_gateway.mqtt.adapter import MqttAdapter
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Verdict

LIMIT_S = 20.0
RESULT = "cmfm/site1/line1/result"


@contextlib.asynccontextmanager
async def running(folder: Path, broker: RoughBroker, **changes: Any) -> AsyncIterator[MadeGateway]:
    section = {"enabled": True, "port": broker.port, "reconnect_max_s": 0.3, "acknowledge_s": 1.0} | changes
    gateway = MadeGateway(folder / "store.sqlite", mqtt=section)
    async with running_adapter(MqttAdapter(gateway.settings.mqtt), gateway, 5):
        yield gateway


async def all_confirmed(gateway: MadeGateway, number: int) -> None:
    await until(lambda: gateway.store.cursor("mqtt") == number, LIMIT_S)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_broker_that_closes_in_mid_publish_loses_nothing(tmp_path: Path) -> None:
    """Each connection ends after a few publications; every result is acknowledged in the end."""

    def published(_topic: str, mid: int, count: int) -> Answer:
        return CLOSE if count % 40 == 0 else puback(mid)

    async def scenario() -> None:
        async with RoughBroker(published=published) as broker, running(tmp_path, broker) as gateway:
            gateway.add(*(result(number) for number in range(1, 101)))
            await all_confirmed(gateway, 100)
            assert broker.connections >= 3
            assert gateway.counts["mqtt", "failures"] >= 2
            assert gateway.counts["mqtt", "repeated"] >= 1

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "reason", [0x97, 0x80, 0x87], ids=["quota exceeded", "unspecified", "not authorised"]
)
def test_a_refusal_is_not_taken_for_success(tmp_path: Path, reason: int) -> None:
    """A PUBACK with an error confirms nothing; the result goes again on the same connection until it is taken."""
    refusals = {"left": 2}

    def published(topic: str, mid: int, _count: int) -> Answer:
        if topic == RESULT and refusals["left"]:
            refusals["left"] -= 1
            return puback(mid, reason)
        return puback(mid)

    async def scenario() -> None:
        async with RoughBroker(published=published) as broker, running(tmp_path, broker) as gateway:
            gateway.add(result(1), result(2))
            await until(lambda: gateway.counts["mqtt", "refused"] == 2, LIMIT_S)
            assert gateway.store.cursor("mqtt") == 0
            await all_confirmed(gateway, 2)
            assert broker.connections == 1

    asyncio.run(scenario())


def test_a_broker_that_never_acknowledges_is_left(tmp_path: Path) -> None:
    """A half-open broker takes bytes and answers nothing: the connection is given up, and the next one is good."""

    async def scenario() -> None:
        broker = RoughBroker(published=lambda _t, mid, _c: puback(mid) if broker.connections > 1 else None)
        async with broker, running(tmp_path, broker) as gateway:
            gateway.add(result(1))
            await all_confirmed(gateway, 1)
            assert gateway.counts["mqtt", "failures"] >= 1

    with structlog.testing.capture_logs() as lines:
        asyncio.run(scenario())
    assert "no acknowledgement within 1 s" in [line.get("why") for line in lines]


def test_a_broker_that_acknowledges_all_but_results_is_left(tmp_path: Path) -> None:
    """It answers pings and states; new results that come all the time do not make it look alive."""

    async def scenario() -> None:
        def published(topic: str, mid: int, _count: int) -> Answer:
            return None if topic == RESULT and broker.connections == 1 else puback(mid)

        broker = RoughBroker(published=published)
        async with broker, running(tmp_path, broker) as gateway:
            for number in range(1, 61):
                gateway.add(result(number))
                await asyncio.sleep(0.05)
            assert gateway.counts["mqtt", "failures"] >= 1  # while new ones still come
            await all_confirmed(gateway, 60)

    asyncio.run(scenario())


def test_brokers_that_do_not_answer_leave_no_socket_behind(tmp_path: Path) -> None:
    """Silence instead of a CONNACK, a refusal, garbage, a closed door: each attempt closes its socket."""
    answers: list[Answer] = [None, connack(reason=0x87), b"\xff\xff\xff\xff\xff\xff", CLOSE, GOOD_CONNACK]

    async def scenario() -> None:
        broker = RoughBroker(connected=lambda count: answers[min(count, len(answers)) - 1])
        async with broker:
            before = open_files()
            async with running(tmp_path, broker, acknowledge_s=0.5) as gateway:
                gateway.add(result(1))
                await all_confirmed(gateway, 1)
                assert gateway.counts["mqtt", "failures"] >= len(answers) - 1
            await asyncio.sleep(0.2)
            assert open_files() <= before

    asyncio.run(scenario())


def test_a_broker_that_hangs_up_before_its_greeting_is_not_waited_for(tmp_path: Path) -> None:
    """The next attempt comes after the pause, not after the time for an answer."""

    async def scenario() -> None:
        broker = RoughBroker(connected=lambda count: CLOSE if count < 3 else GOOD_CONNACK)
        async with broker, running(tmp_path, broker, acknowledge_s=600) as gateway:
            gateway.add(result(1))
            await all_confirmed(gateway, 1)

    asyncio.run(scenario())


def test_garbage_after_the_greeting_ends_only_that_connection(tmp_path: Path) -> None:
    """Bytes that are no packet, in answer to a result."""

    def published(topic: str, mid: int, count: int) -> Answer:
        return b"\x40\x02" + bytes(300) if topic == RESULT and count < 6 else puback(mid)

    async def scenario() -> None:
        async with RoughBroker(published=published) as broker, running(tmp_path, broker) as gateway:
            gateway.add(result(1))
            await all_confirmed(gateway, 1)
            assert broker.connections >= 2

    asyncio.run(scenario())


def test_no_more_is_unacknowledged_than_the_broker_allows(tmp_path: Path) -> None:
    """A receive maximum of 3 is kept, whatever the window of results is."""
    held: list[int] = []
    most: list[int] = []

    def published(_topic: str, mid: int, _count: int) -> Answer:
        held.append(mid)
        return None

    async def scenario() -> None:
        broker = RoughBroker(connected=lambda _: connack(receive_maximum(3)), published=published)
        async with broker, running(tmp_path, broker, heartbeat_s=0.05) as gateway:
            gateway.add(*(result(number) for number in range(1, 41)))
            while gateway.store.cursor("mqtt") < 40:
                await asyncio.sleep(0.02)  # time for more than it allows
                most.append(len(held))
                broker.send(b"".join(puback(mid) for mid in held))
                held.clear()
            assert gateway.counts["mqtt", "failures"] == 0

    asyncio.run(scenario())
    assert max(most) == 3


def test_a_broker_that_cuts_large_packets_teaches_its_limit(tmp_path: Path) -> None:
    """A DISCONNECT with `packet too large` from a broker that did not announce it: the next attempt is smaller."""
    region = Region((1, 2, 3, 4), 9, 12.25, 0.5, (1, 2), "2d")
    big = result(1, Verdict.FAIL, score=2.0, regions=(region,) * 64)

    async def scenario() -> None:
        def published(topic: str, mid: int, _count: int) -> Answer:
            return disconnect(0x95) if len(broker.publications[-1][1]) > 2000 else puback(mid)

        broker = RoughBroker(published=published)
        async with broker, running(tmp_path, broker) as gateway:
            gateway.add(big, result(2))
            await all_confirmed(gateway, 2)
            assert gateway.counts["mqtt", "skipped"] == 0

    asyncio.run(scenario())


def test_a_stop_is_never_forgotten(tmp_path: Path) -> None:
    """Stopped at any moment, among them that of an acknowledgement, the adapter ends."""

    async def once(number: int, pause_s: float) -> None:
        folder = tmp_path / str(number)
        folder.mkdir()
        async with RoughBroker() as broker, running(folder, broker, heartbeat_s=0.01) as gateway:
            gateway.add(*(result(each) for each in range(1, 20)))
            await asyncio.sleep(pause_s)

    chance = random.Random(1)
    for number in range(40):
        asyncio.run(once(number, chance.uniform(0, 0.06)))


def test_limits_of_the_broker_hold_for_the_state_too(tmp_path: Path) -> None:
    """A state that is too large is not sent, counted, and holds nothing else up."""

    async def scenario() -> None:
        broker = RoughBroker(connected=lambda _: connack(maximum_packet(300)))
        async with broker, running(tmp_path, broker) as gateway:
            gateway.add(result(1))
            await all_confirmed(gateway, 1)  # given up: too large as well
            assert gateway.counts["mqtt", "skipped"] == 1
            await until(lambda: gateway.counts["mqtt", "refused"] >= 1, LIMIT_S)
            assert all(len(body) <= 300 for _, body in broker.publications)

    asyncio.run(scenario())
