"""The edge node on mosquitto, heard by mosquitto_sub and read by Sparkplug's own library."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.made_mosquitto import Broker, Listener, publish
from tests.made_sparkplug import SparkplugPayload, by_name
from tests.unit.made.mqtt_gateway import SILENT, MadeGateway, running_adapter
from tests.unit.made.rough_broker import RoughBroker
from tests.unit.made.running_gateway import until
from tests.unit.made.verdicts import result

from cmfm_gateway.sparkplug.adapter import SparkplugAdapter
from cmfm_gateway.sparkplug.payload import DataType, Metric, encode_payload

LIMIT_S = 20.0
NCMD = "spBv1.0/cmfm/NCMD/line1"
STATE = "spBv1.0/STATE/scada"

Messages = Callable[[], list[tuple[str, dict[str, Any]]]]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as started:
        yield started


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    with Listener(broker, topic="spBv1.0/#", binary=True) as started:
        yield started


@pytest.fixture
def heard(listener: Listener) -> Iterator[Messages]:
    """The node's messages so far, as (NBIRTH, NDATA or NDEATH; decoded payload)."""
    with SparkplugPayload() as library:
        yield lambda: [
            (topic.split("/")[2], library.decode(payload))
            for topic, payload in listener.payloads()
            if topic.split("/")[2] in ("NBIRTH", "NDATA", "NDEATH")
        ]


@contextlib.asynccontextmanager
async def running(folder: Path, broker: Broker | RoughBroker, **changes: Any) -> AsyncIterator[MadeGateway]:
    gateway = MadeGateway(
        folder / "store.sqlite",
        mqtt={"port": broker.port, "reconnect_max_s": 0.3},
        sparkplug={"enabled": True} | changes,
    )
    adapter = SparkplugAdapter(gateway.settings.sparkplug, gateway.settings.mqtt)
    async with running_adapter(adapter, gateway, 10):
        yield gateway


async def confirmed(gateway: MadeGateway, number: int) -> None:
    await until(lambda: gateway.store.cursor("sparkplug") == number, LIMIT_S)


def results(messages: list[tuple[str, dict[str, Any]]]) -> list[dict[str, dict[str, Any]]]:
    data = [by_name(payload) for kind, payload in messages if kind == "NDATA"]
    return [metrics for metrics in data if "Result/number" in metrics]


def test_the_life_of_a_node(broker: Broker, heard: Messages, tmp_path: Path) -> None:
    """Birth, a result, a change of the line, death: in this order, with one sequence; every result is confirmed."""

    async def scenario() -> None:
        async with running(tmp_path, broker) as gateway:
            gateway.add(result(1))
            await confirmed(gateway, 1)
            gateway.show(SILENT)
            await until(lambda: len(heard()) == 3, LIMIT_S)
        await until(lambda: len(heard()) == 4, LIMIT_S)

    asyncio.run(scenario())
    messages = heard()
    assert [kind for kind, _ in messages] == ["NBIRTH", "NDATA", "NDATA", "NDEATH"]
    assert [payload.get("seq") for _, payload in messages] == ["0", "1", "2", None]
    assert messages[1][1]["metrics"]
    assert by_name(messages[2][1])["Line/valid"]["value"] is False
    assert by_name(messages[0][1])["bdSeq"]["value"] == by_name(messages[3][1])["bdSeq"]["value"] == "0"


def test_a_host_may_ask_for_another_birth(broker: Broker, heard: Messages, tmp_path: Path) -> None:
    """Rebirth is obeyed; other commands, retained ones and garbage are counted and change nothing."""
    rebirth = encode_payload(
        [Metric("Node Control/Rebirth", DataType.BOOLEAN, True, 1)], timestamp_ms=1, seq=None
    )

    async def scenario() -> None:
        async with running(tmp_path, broker) as gateway:
            await until(lambda: len(heard()) == 1, LIMIT_S)
            command = tmp_path / "command"
            command.write_bytes(rebirth)
            recipe = encode_payload(
                [Metric("Node Control/Recipe", DataType.STRING, "praline", 1)], timestamp_ms=1, seq=None
            )
            publish(broker, NCMD, "garbage")
            (tmp_path / "recipe").write_bytes(recipe)
            publish(broker, NCMD, "", "-f", str(tmp_path / "recipe"))
            publish(broker, NCMD, "", "-f", str(command), "-r")
            await until(lambda: gateway.counts["sparkplug", "requests_refused"] >= 2, LIMIT_S)
            assert len(heard()) == 1
            publish(broker, NCMD, "", "-f", str(command))
            await until(lambda: len(heard()) == 2, LIMIT_S)
            assert gateway.loaded == []

    asyncio.run(scenario())
    assert [(kind, payload.get("seq")) for kind, payload in heard()[:2]] == [("NBIRTH", "0"), ("NBIRTH", "0")]


def test_a_recipe_command_is_obeyed_only_if_the_settings_allow_it(
    broker: Broker, heard: Messages, tmp_path: Path
) -> None:
    """`commands = true` offers the metric in the birth, and loads the recipe through the worker."""
    recipe = encode_payload(
        [Metric("Node Control/Recipe", DataType.STRING, "praline", 1)], timestamp_ms=1, seq=None
    )

    async def scenario() -> None:
        async with running(tmp_path, broker, commands=True) as gateway:
            await until(lambda: len(heard()) == 1, LIMIT_S)
            (tmp_path / "recipe").write_bytes(recipe)
            publish(broker, NCMD, "", "-f", str(tmp_path / "recipe"))
            await until(lambda: gateway.loaded == ["praline"], LIMIT_S)

    asyncio.run(scenario())
    assert "Node Control/Recipe" in by_name(heard()[0][1])


def test_what_happened_while_the_broker_was_away_is_historical(
    broker: Broker, heard: Messages, listener: Listener, tmp_path: Path
) -> None:
    """After the gap the node is born again, with the next bdSeq, and replays what is missing, in order, as history."""

    async def scenario() -> None:
        async with running(tmp_path, broker) as gateway:
            gateway.add(result(1))
            await confirmed(gateway, 1)
            await until(lambda: results(heard()), LIMIT_S)
            listener.kill()
            broker.kill()
            gateway.add(*(result(number) for number in range(2, 12)))
            await asyncio.sleep(2.2)
            broker.start()
            listener.start()
            gateway.add(result(12))
            await confirmed(gateway, 12)

    asyncio.run(scenario())
    asyncio.run(until(lambda: len(results(heard())) == 12, LIMIT_S))
    births = [by_name(payload)["bdSeq"]["value"] for kind, payload in heard() if kind == "NBIRTH"]
    assert births[0] == "0"
    assert len(births) == len(set(births)) == 2
    assert [int(metrics["Result/number"]["value"]) for metrics in results(heard())] == list(range(1, 13))
    late = results(heard())[1:11]
    assert all(metric["isHistorical"] for metrics in late for metric in metrics.values())
    assert all(metrics["Result/valid"]["value"] is False for metrics in late)


def test_what_may_have_been_sent_before_a_kill_comes_again_as_history(
    broker: Broker, heard: Messages, tmp_path: Path
) -> None:
    """Killed between sending and the broker's answer: the result is repeated, marked, and no present value."""

    async def scenario(number: int, *, killed_before: int = 0) -> None:
        async with running(tmp_path, broker) as gateway:
            if killed_before:
                gateway.store._reader.execute(
                    "UPDATE cursors SET number = ? WHERE consumer = 'sparkplug'", (killed_before - 1,)
                )
                gateway.store._cursors.clear()
            gateway.add(result(number))
            await confirmed(gateway, number)
            await until(
                lambda: [m["Result/number"]["value"] for m in results(heard())][-1:] == [str(number)], LIMIT_S
            )

    asyncio.run(scenario(1))
    asyncio.run(scenario(2, killed_before=1))
    first, again, second = results(heard())
    assert [metrics["Result/dup"]["value"] for metrics in (first, again, second)] == [False, True, False]
    assert again["Result/verdict"]["isHistorical"]
    assert not second["Result/verdict"].get("isHistorical")


def test_a_result_is_confirmed_by_the_broker_s_answer_alone(tmp_path: Path) -> None:
    """Data goes at QoS 0: what was sent before the connection ended may be lost, and is sent again, marked."""

    async def scenario() -> None:
        async with RoughBroker(closes_at=(2,)) as broker, running(tmp_path, broker) as gateway:
            gateway.add(result(1))
            await confirmed(gateway, 1)
            assert gateway.counts["sparkplug", "sent"] == 2
            assert gateway.counts["sparkplug", "repeated"] == 1
            assert gateway.counts["sparkplug", "failures"] == 1

    asyncio.run(scenario())


def test_the_primary_host_decides_when_the_node_lives(
    broker: Broker, heard: Messages, tmp_path: Path
) -> None:
    """Without the host nothing is published and everything is stored; when it goes, the node dies; then all follows."""

    def host(online: bool, timestamp_ms: int) -> None:
        publish(broker, STATE, json.dumps({"online": online, "timestamp": timestamp_ms}), "-r")

    async def scenario() -> None:
        async with running(tmp_path, broker, primary_host="scada") as gateway:
            await until(lambda: gateway.counts["sparkplug", "connections"] == 1, LIMIT_S)
            gateway.add(result(1))
            await asyncio.sleep(0.5)
            assert heard() == []
            host(True, 100)
            await confirmed(gateway, 1)
            host(False, 200)
            await until(lambda: [kind for kind, *_ in heard()][-1:] == ["NDEATH"], LIMIT_S)
            gateway.add(result(2))
            await asyncio.sleep(2.2)
            assert gateway.store.cursor("sparkplug") == 1
            host(True, 300)
            await confirmed(gateway, 2)
            await until(lambda: len(results(heard())) == 2, LIMIT_S)
            second = results(heard())[1]
            assert second["Result/number"]["isHistorical"]

    asyncio.run(scenario())
    kinds = [kind for kind, _ in heard()]
    assert kinds[:3] == ["NBIRTH", "NDATA", "NDEATH"]
    births = [by_name(payload)["bdSeq"]["value"] for kind, payload in heard() if kind == "NBIRTH"]
    assert births[0] == "0"
    assert len(births) == len(set(births)) == 2
