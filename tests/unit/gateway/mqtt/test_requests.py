"""Recipes and pictures on request, by foreign clients, with response topic and correlation data."""

import asyncio
import contextlib
import io
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zmq
from PIL import Image
from tests.made_mosquitto import WAIT_S, Broker, Listener, program, publish
from tests.unit.made.ended_task import end
from tests.unit.made.mqtt_gateway import MadeGateway
from tests.unit.made.running_gateway import until
from tests.unit.made.verdicts import result

from cmfm_gateway.mqtt.adapter import MqttAdapter
from cmfm_gateway.mqtt.pictures import ArchivePictures
from cmfm_protocol.wire.anomaly_map import AnomalyMaps, encode_maps
from cmfm_protocol.wire.topics import topic
from cmfm_protocol.wire.verdict import Verdict

LIMIT_S = 20.0
BASE = "cmfm/site1/line1"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path / "broker") as started:
        yield started


@contextlib.asynccontextmanager
async def running(
    folder: Path, broker: Broker, worker: dict[str, Any] | None = None, **changes: Any
) -> AsyncIterator[MadeGateway]:
    section = {"enabled": True, "port": broker.port} | changes
    gateway = MadeGateway(folder / "store.sqlite", mqtt=section, worker=worker or {})
    task = asyncio.create_task(MqttAdapter(gateway.settings.mqtt).run(gateway))  # type: ignore[arg-type]
    try:
        await until(lambda: gateway.counts["mqtt", "connections"], LIMIT_S)
        topics = section.get("recipe_requests", False) + section.get("pictures", False)
        await until(lambda: broker.log().count("Sending SUBACK to cmfm-site1-line1") >= topics, LIMIT_S)
        yield gateway
        assert not task.done()
    finally:
        await end(task)
        gateway.store.close()


def ask(broker: Broker, request_topic: str, request: object, *, reply: str = "answers/1") -> bytes:
    """The reply's payload as mosquitto_rr receives it."""
    command = [
        program("mosquitto_rr"),
        "-p",
        str(broker.port),
        "-V",
        "mqttv5",
        "-q",
        "1",
        "-t",
        request_topic,
    ]
    command += ["-e", reply, "-m", json.dumps(request), "-W", "10", "-D", "publish", "correlation-data", "17"]
    done = subprocess.run(command, check=True, capture_output=True, timeout=WAIT_S)
    return done.stdout.removesuffix(b"\n")


async def asked(broker: Broker, request_topic: str, request: object) -> Any:
    return json.loads(await asyncio.to_thread(ask, broker, request_topic, request))


def test_a_recipe_is_loaded_on_request_if_the_settings_allow_it(broker: Broker, tmp_path: Path) -> None:
    """The reply says that it is in use, or what was wrong with the request."""

    async def scenario() -> None:
        async with running(tmp_path, broker, recipe_requests=True) as gateway:
            topic_name = f"{BASE}/recipe/set"
            assert await asked(broker, topic_name, {"recipe": "circuit"}) == {
                "v": 1,
                "ok": True,
                "error": "",
                "recipe": "circuit",
            }
            assert gateway.loaded == ["circuit"]
            for request, why in (
                ({"recipe": "none"}, "no recipe 'none'"),
                ({"recipe": "../up"}, "a name has 1 to 64"),
                ({"recipe": 7}, "a name has 1 to 64"),
                (["circuit"], "expected a JSON object"),
            ):
                answer = await asked(broker, topic_name, request)
                assert not answer["ok"]
                assert why in answer["error"]
            assert gateway.loaded == ["circuit"]
            assert gateway.counts["mqtt", "requests_refused"] == 4

    asyncio.run(scenario())


def test_recipe_requests_are_not_heard_by_default(broker: Broker, tmp_path: Path) -> None:
    """Without the setting the gateway does not even subscribe."""

    async def scenario() -> None:
        async with running(tmp_path, broker) as gateway:
            await asyncio.to_thread(publish, broker, f"{BASE}/recipe/set", '{"recipe": "circuit"}')
            await asyncio.sleep(0.5)
            assert gateway.loaded == []

    asyncio.run(scenario())
    assert f"{BASE}/recipe/set (QoS" not in broker.log()


def test_a_retained_request_is_never_carried_out(broker: Broker, tmp_path: Path) -> None:
    """A command of yesterday must not change the recipe at each connection."""
    publish(broker, f"{BASE}/recipe/set", '{"recipe": "circuit"}', "-r")

    async def scenario() -> None:
        async with running(tmp_path, broker, recipe_requests=True) as gateway:
            await asyncio.sleep(0.5)
            assert gateway.counts["mqtt", "requests_refused"] == 0  # the broker does not even send it
            await asyncio.to_thread(publish, broker, f"{BASE}/recipe/set", '{"recipe": "circuit"}', "-r")
            await until(lambda: gateway.counts["mqtt", "requests_refused"] == 1, LIMIT_S)
            assert gateway.loaded == []

    asyncio.run(scenario())


@pytest.mark.parametrize("reply", [f"{BASE}/state", "spBv1.0/cmfm/NDEATH/line1", "$SYS/x"])
def test_a_reply_never_speaks_for_the_gateway(broker: Broker, tmp_path: Path, reply: str) -> None:
    """Whoever may ask cannot make the gateway publish where others trust it."""

    async def scenario() -> None:
        async with running(tmp_path, broker, recipe_requests=True) as gateway:
            properties = ("-D", "publish", "response-topic", reply)
            await asyncio.to_thread(publish, broker, f"{BASE}/recipe/set", '{"recipe": "none"}', *properties)
            await until(lambda: gateway.counts["mqtt", "requests_refused"] == 1, LIMIT_S)

    with Listener(broker, topic="#") as listener:
        asyncio.run(scenario())
        texts = [json.dumps(message["payload"]) for message in listener.messages()]
    assert not any("no recipe" in text for text in texts)


def test_garbage_and_floods_are_refused(broker: Broker, tmp_path: Path) -> None:
    """Bytes that are no JSON, deep nesting and long texts are counted; results go on meanwhile."""

    async def scenario() -> None:
        async with running(tmp_path, broker, recipe_requests=True) as gateway:
            wrong = ["not json", "[" * 3000, '{"recipe": "' + "x" * 5000 + '"}', "{}", '{"recipe": null}']
            for payload in wrong:
                await asyncio.to_thread(publish, broker, f"{BASE}/recipe/set", payload)
            await until(lambda: gateway.counts["mqtt", "requests_refused"] == len(wrong), LIMIT_S)
            gateway.add(result(1))
            await until(lambda: gateway.store.cursor("mqtt") == 1, LIMIT_S)

    asyncio.run(scenario())


def archived_part(folder: Path, boot: str, result_id: int, side_px: int) -> np.ndarray[Any, Any]:
    """A kept part as the worker writes it; returns its picture."""
    part = folder / f"20260101T000000000Z_{boot}_{result_id}"
    part.mkdir(parents=True)
    rgb = np.random.default_rng(result_id).integers(0, 256, (side_px, side_px, 3), np.uint8)
    Image.fromarray(rgb).save(part / "rgb.png")
    return rgb


def test_the_picture_of_a_rejected_part_comes_from_the_archive(broker: Broker, tmp_path: Path) -> None:
    """It is the camera's own picture, found by part or by result; other parts get an answer in words."""
    rgb = archived_part(tmp_path / "kept", "b", 2, 64)

    async def scenario() -> None:
        async with running(tmp_path, broker, pictures=True, archive=tmp_path / "kept") as gateway:
            gateway.add(result(1), result(2, Verdict.FAIL, score=2.0))
            for request in ({"part_id": "p1"}, {"boot_id": "b", "result_id": 2}):
                png = await asyncio.to_thread(ask, broker, f"{BASE}/picture/get", request)
                assert np.array_equal(np.asarray(Image.open(io.BytesIO(png))), rgb)
            for request, why in (
                ({"part_id": "p0"}, "no picture of p0"),
                ({"part_id": "nobody"}, "no such result"),
                ({"boot_id": "../..", "result_id": 2}, "no such result"),
                ({"boot_id": "b", "result_id": "2"}, "name part_id"),
                ({}, "name part_id"),
                ({"part_id": "\ud800"}, "name part_id"),
                ({"boot_id": "\udfff", "result_id": 2}, "name part_id"),
                ({"part_id": "x" * 257}, "name part_id"),
            ):
                answer = await asked(broker, f"{BASE}/picture/get", request)
                assert why in answer["error"]
            assert gateway.counts["mqtt", "pictures"] == 2

    asyncio.run(scenario())


def test_the_reply_carries_the_request_s_correlation_data(broker: Broker, tmp_path: Path) -> None:
    """And says what it is: a PNG, of which result, from where."""
    archived_part(tmp_path / "kept", "b", 2, 16)
    lines: list[str] = []

    async def scenario() -> None:
        async with running(tmp_path, broker, pictures=True, archive=tmp_path / "kept") as gateway:
            gateway.add(result(1), result(2, Verdict.FAIL, score=2.0))
            command = [program("mosquitto_rr"), "-p", str(broker.port), "-V", "mqttv5", "-q", "1"]
            command += ["-t", f"{BASE}/picture/get", "-e", "a/b", "-m", '{"part_id": "p1"}', "-W", "10"]
            command += ["-D", "publish", "correlation-data", "17", "-F", "%D %C %P"]
            done = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, timeout=WAIT_S
            )
            lines.append(done.stdout)

    asyncio.run(scenario())
    assert lines[0].split() == ["17", "image/png", "boot_id:b", "result_id:2", "source:archive"]


def test_a_picture_is_made_small_enough(tmp_path: Path) -> None:
    """Noise of 512 x 512 pixels does not compress; it is made smaller until it fits."""
    archived_part(tmp_path, "b", 2, 512)
    picture = ArchivePictures(tmp_path, max_bytes=100_000).find(result(2, Verdict.FAIL, score=2.0))

    assert picture is not None
    assert len(picture.png) <= 100_000
    assert Image.open(io.BytesIO(picture.png)).width >= 100


def test_a_torn_picture_is_no_picture(tmp_path: Path) -> None:
    """A file that cannot be read is logged and not sent."""
    archived_part(tmp_path, "b", 2, 64)
    file = next(tmp_path.glob("*/rgb.png"))
    file.write_bytes(file.read_bytes()[:200])

    assert ArchivePictures(tmp_path, max_bytes=100_000).find(result(2, Verdict.FAIL, score=2.0)) is None


def maps_of(result_id: int, verdict: Verdict) -> AnomalyMaps:
    side = (224, 224)
    psi = np.random.default_rng(result_id).random(side, np.float32)
    return AnomalyMaps(
        map_ref=f"b/{result_id}",
        result_id=result_id,
        boot_id="b",
        stream_uuid="a",
        seq=result_id - 1,
        part_id=f"p{result_id - 1}",
        recipe="r",
        threshold=1.0,
        score=2.0,
        verdict=verdict,
        psi=psi,
        psi_2d=psi,
        psi_3d=psi,
        rgb=np.full((*side, 3), 128, np.uint8),
        depth=np.ones(side, np.float32),
        foreground=np.ones(side, np.bool_),
    )


def test_a_picture_is_drawn_from_the_newest_maps(broker: Broker, tmp_path: Path) -> None:
    """Without a folder the panel of the maps comes, for the newest rejected parts alone."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    results, maps = context.socket(zmq.PUB), context.socket(zmq.XPUB)
    for socket in (results, maps):
        socket.setsockopt(zmq.LINGER, 0)
        socket.bind("tcp://127.0.0.1:*")
    ends = [socket.getsockopt_string(zmq.LAST_ENDPOINT) for socket in (results, maps)]

    async def scenario() -> None:
        options = {"pictures": True, "maps": ends[1], "maps_kept": 2}
        async with running(tmp_path, broker, worker={"results": ends[0]}, **options) as gateway:
            assert await asyncio.to_thread(maps.poll, 5000)
            maps.recv()
            for number in (1, 2, 3, 4):
                verdict = Verdict.PASS if number == 4 else Verdict.FAIL
                maps.send_multipart(encode_maps(topic("line1", "station1", "map"), maps_of(number, verdict)))
            gateway.add(*(result(number, Verdict.FAIL, score=2.0) for number in (1, 2, 3)))
            await asyncio.sleep(0.5)
            png = await asyncio.to_thread(ask, broker, f"{BASE}/picture/get", {"part_id": "p2"})
            assert Image.open(io.BytesIO(png)).width > 1000
            answer = await asked(broker, f"{BASE}/picture/get", {"part_id": "p0"})
            assert "no picture of p0" in answer["error"]

    try:
        asyncio.run(scenario())
    finally:
        context.destroy(0)
