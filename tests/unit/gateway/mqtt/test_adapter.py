"""The MQTT adapter against mosquitto and mosquitto_sub: a foreign broker, a foreign subscriber."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.made_mosquitto import Broker, Listener
from tests.unit.made.ended_task import end
from tests.unit.made.mqtt_gateway import SILENT, VALID, MadeGateway
from tests.unit.made.running_gateway import until
from tests.unit.made.verdicts import result

from cmfm_gateway.mqtt.adapter import MqttAdapter
from cmfm_protocol.wire.result import Region
from cmfm_protocol.wire.verdict import Verdict

LIMIT_S = 20.0


@contextlib.asynccontextmanager
async def running(gateway: MadeGateway) -> AsyncIterator[None]:
    """Run the adapter for the length of the block, then stop it in order."""
    adapter = MqttAdapter(gateway.settings.mqtt)
    task = asyncio.create_task(adapter.run(gateway))  # type: ignore[arg-type]
    try:
        yield
    finally:
        await end(task)


def made_gateway(folder: Path, broker: Broker, **changes: Any) -> MadeGateway:
    section = {"enabled": True, "port": broker.port, "heartbeat_s": 0.5, "reconnect_max_s": 0.5}
    return MadeGateway(folder / "store.sqlite", mqtt=section | changes)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as started:
        yield started


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    with Listener(broker) as started:
        yield started


def ids(messages: list[dict[str, Any]]) -> list[int]:
    return [message["payload"]["result_id"] for message in messages]


async def confirmed(gateway: MadeGateway, number: int) -> None:
    await until(lambda: gateway.store.cursor("mqtt") == number, LIMIT_S)


def test_a_subscriber_gets_every_result_and_every_reject(
    broker: Broker, listener: Listener, tmp_path: Path
) -> None:
    """Results come in order, not retained, with what MQTT 5 says about them; what is not PASS comes as reject, too."""

    async def scenario() -> None:
        gateway = made_gateway(tmp_path, broker)
        async with running(gateway):
            gateway.add(result(1), result(2, Verdict.FAIL, score=2.0), result(3, Verdict.FAULT, score=None))
            await confirmed(gateway, 3)
            await until(lambda: len(listener.messages("reject")) == 2, LIMIT_S)

    asyncio.run(scenario())
    results = listener.messages("result")
    assert ids(results) == [1, 2, 3]
    assert ids(listener.messages("reject")) == [2, 3]
    assert [message["payload"]["valid"] for message in results] == [True, True, True]
    properties = results[0]["properties"]
    assert (results[0]["topic"], results[0]["retain"]) == ("cmfm/site1/line1/result", 0)
    assert properties["content-type"] == "application/json"
    assert properties["message-expiry-interval"] == 604_800
    assert properties["user-properties"] == {
        "boot_id": "b",
        "result_id": "1",
        "valid": "true",
        "dup": "false",
    }


def test_the_state_is_retained_and_says_not_valid_when_the_gateway_stops(
    broker: Broker, listener: Listener, tmp_path: Path
) -> None:
    """Whoever subscribes later reads the newest state; after a stop in order that is *not valid*."""

    async def scenario() -> None:
        gateway = made_gateway(tmp_path, broker, heartbeat_s=60)
        async with running(gateway):
            await until(lambda: listener.messages("recipe") and listener.messages("health"), LIMIT_S)
            with Listener(broker, name="during") as during:
                await until(lambda: during.messages("state"), LIMIT_S)
                first = during.messages("state")[0]
                gateway.show(SILENT)
                await until(
                    lambda: [m["payload"]["valid"] for m in during.messages("state")][-1:] == [False], LIMIT_S
                )
        assert (first["retain"], first["payload"]["valid"]) == (1, True)
        assert first["payload"]["worker"]["phase"] == "ready"
        assert during.messages("state")[-1]["payload"]["cause"] == "silence"
        assert during.messages("recipe")[0]["payload"]["recipes"] == ["praline", "circuit"]
        assert during.messages("health")[0]["retain"] == 1

    asyncio.run(scenario())
    with Listener(broker, name="after") as after:
        asyncio.run(until(lambda: after.messages("state"), LIMIT_S))
    state = after.messages("state")[0]
    assert (state["retain"], state["payload"]["valid"]) == (1, False)
    assert state["payload"]["cause"] == "gateway_stopped"


def test_a_broker_that_was_away_gets_everything_in_order(tmp_path: Path) -> None:
    """Results that came while the broker was dead follow, marked as not of now; repeated ones are marked as such."""
    broker = Broker(tmp_path / "broker").start()
    listener = Listener(broker).start()

    async def scenario() -> None:
        gateway = made_gateway(tmp_path, broker)
        async with running(gateway):
            gateway.add(*(result(number) for number in range(1, 51)))
            await confirmed(gateway, 50)
            await until(lambda: len(listener.messages("result")) == 50, LIMIT_S)
            await asyncio.sleep(1.2)  # the broker has saved that they were delivered
            listener.kill()
            broker.kill()
            gateway.add(*(result(number) for number in range(51, 151)))
            await asyncio.sleep(2.2)
            broker.start()
            listener.start()
            await confirmed(gateway, 150)
            await until(lambda: set(ids(listener.messages("result"))) == set(range(1, 151)), LIMIT_S)
            assert gateway.counts["mqtt", "failures"] >= 1

    try:
        asyncio.run(scenario())
    finally:
        listener.kill()
        broker.stop()
    late = [message["payload"] for message in listener.messages("result")][50:]
    fresh = [payload["result_id"] for payload in late if not payload["dup"]]
    assert fresh == sorted(set(fresh))
    assert {payload["cause"] for payload in late} == {"late"}
    assert not any(payload["valid"] for payload in late)


def test_a_gateway_killed_before_the_acknowledgement_sends_again_and_marks_it(
    broker: Broker, listener: Listener, tmp_path: Path
) -> None:
    """The store's two marks survive: what was sent and not confirmed comes again with `dup`, and nothing else does."""

    async def first_run() -> None:
        gateway = made_gateway(tmp_path, broker)
        gateway.add(*(result(number) for number in range(1, 6)))
        async with running(gateway):
            await confirmed(gateway, 5)
        gateway.store.close()

    async def second_run() -> None:
        gateway = made_gateway(tmp_path, broker)
        gateway.store._cursors["mqtt"] = 0  # as if killed between PUBLISH and PUBACK of 4
        gateway.store._reader.execute("UPDATE cursors SET number = 3 WHERE consumer = 'mqtt'")
        gateway.store._cursors.clear()
        gateway.add(result(6))
        async with running(gateway):
            await confirmed(gateway, 6)
            await until(lambda: ids(listener.messages("result"))[-1:] == [6], LIMIT_S)

    asyncio.run(first_run())
    asyncio.run(second_run())
    again = [message["payload"] for message in listener.messages("result")][5:]
    assert [(payload["result_id"], payload["dup"]) for payload in again] == [(4, True), (5, True), (6, False)]


def test_a_result_larger_than_the_broker_takes_goes_without_its_regions(tmp_path: Path) -> None:
    """The verdict arrives; one that does not fit at all is counted, logged and does not hold up the others."""
    region = Region((1, 2, 3, 4), 9, 12.25, 0.5, (1, 2), "2d")
    big = result(1, Verdict.FAIL, score=2.0, regions=(region,) * 64)
    huge = result(2, detail="x" * 250, part_id="y" * 250, recipe="z" * 250, calib_id="c" * 250)

    async def scenario(broker: Broker, listener: Listener) -> None:
        gateway = made_gateway(tmp_path, broker)
        async with running(gateway):
            gateway.add(big, huge, result(3))
            await confirmed(gateway, 3)
            await until(lambda: len(listener.messages("result")) == 2, LIMIT_S)
            assert gateway.counts["mqtt", "skipped"] == 1

    with Broker(tmp_path / "broker", "max_packet_size 1200") as broker, Listener(broker) as listener:
        asyncio.run(scenario(broker, listener))
    first, third = (message["payload"] for message in listener.messages("result"))
    assert (first["result_id"], first["verdict"], first["regions"]) == (1, "FAIL", [])
    assert (first["regions_left_out"], third["result_id"]) == (64, 3)


def test_a_refused_result_is_sent_again_until_the_broker_takes_it(tmp_path: Path) -> None:
    """mosquitto's access list refuses, the PUBACK says so: nothing is confirmed, nothing is lost, the state goes on."""
    rules = tmp_path / "rules"
    rules.write_text("topic read #\ntopic write cmfm/site1/line1/state\n", encoding="utf-8")

    async def scenario(broker: Broker, listener: Listener) -> None:
        gateway = made_gateway(tmp_path, broker)
        async with running(gateway):
            gateway.add(result(1), result(2))
            await until(lambda: gateway.counts["mqtt", "refused"] >= 2, LIMIT_S)
            assert gateway.store.cursor("mqtt") == 0
            await until(lambda: len(listener.messages("state")) >= 3, LIMIT_S)
            assert gateway.counts["mqtt", "connections"] == 1
            rules.write_text("topic readwrite #\n", encoding="utf-8")
            broker.reload()
            await confirmed(gateway, 2)
            await until(lambda: len(listener.messages("result")) == 2, LIMIT_S)

    with Broker(tmp_path / "broker", f"acl_file {rules}") as broker, Listener(broker) as listener:
        asyncio.run(scenario(broker, listener))
    assert ids(listener.messages("result")) == [1, 2]
    assert {message["payload"]["dup"] for message in listener.messages("result")} == {True}


def test_a_stale_result_is_delivered_for_the_record(
    broker: Broker, listener: Listener, tmp_path: Path
) -> None:
    """A PASS that was recovered is there, and is not valid."""

    async def scenario() -> None:
        gateway = made_gateway(tmp_path, broker)
        async with running(gateway):
            gateway.add(replace(result(1), boot_id="old"), late=True)
            gateway.show(VALID)
            await until(lambda: listener.messages("result"), LIMIT_S)

    asyncio.run(scenario())
    payload = listener.messages("result")[0]["payload"]
    assert (payload["verdict"], payload["valid"], payload["cause"]) == ("PASS", False, "stale")
