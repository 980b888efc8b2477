"""docs/plc.md and the code agree: tables of fields, topics, names of settings, and the MES subscriber as it stands."""

import asyncio
import contextlib
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.made_mosquitto import Broker
from tests.unit.made.ended_task import end
from tests.unit.made.mqtt_gateway import MadeGateway
from tests.unit.made.running_gateway import until
from tests.unit.made.verdicts import result

from cmfm_gateway.mqtt.adapter import MqttAdapter
from cmfm_gateway.mqtt.payloads import Delivery, HealthMessage, RecipeMessage, StateMessage
from cmfm_gateway.mqtt.topics import Topics
from cmfm_gateway.settings.mqtt import MqttSection
from cmfm_gateway.settings.sparkplug import SparkplugSection
from cmfm_protocol.wire.fields import fields_of

DOCUMENT = (Path(__file__).parents[4] / "docs" / "plc.md").read_text(encoding="utf-8")
SECTION = DOCUMENT.partition("## MQTT and Sparkplug")[2].partition("\n## ")[0]
LIMIT_S = 30.0


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    below = SECTION.partition(f"{heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", below, re.MULTILINE)
    assert table is not None, heading
    lines = table.group().splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


@pytest.mark.parametrize(
    ("heading", "kind"),
    [
        ("#### Result", Delivery),
        ("#### State", StateMessage),
        ("#### Recipe", RecipeMessage),
        ("#### Health", HealthMessage),
    ],
)
def test_the_tables_are_the_declarations(heading: str, kind: type[Any]) -> None:
    """Whoever changes a field changes the document."""
    declared = [[f"`{each.name}`", each.wire_type.name, each.unit, each.meaning] for each in fields_of(kind)]

    assert rows(heading) == declared


def test_every_topic_is_in_the_document() -> None:
    """The table of topics has each property of `Topics`."""
    topics = Topics("<site>", "<line>")
    names = [name for name in dir(Topics) if isinstance(getattr(Topics, name), property)]

    assert {row[0].strip("`") for row in rows("### Topics")} == {getattr(topics, name) for name in names}


def test_settings_that_the_document_names_exist() -> None:
    """`mqtt.<key>` and `sparkplug.<key>`."""
    for section, model in (("mqtt", MqttSection), ("sparkplug", SparkplugSection)):
        named = set(re.findall(rf"`{section}\.(\w+)`", SECTION))
        assert named
        assert named <= set(model.model_fields)


def test_the_subscriber_of_the_document_records_each_result_once(tmp_path: Path) -> None:
    """It runs as it stands there, is killed, goes on, and what comes again changes nothing."""
    program = re.search(r"```python\n(import json.*?# MES subscriber.*?)```", SECTION, re.DOTALL)
    assert program is not None
    assert len([line for line in program.group(1).splitlines() if line.strip()]) <= 17

    def mes(broker: Broker) -> "subprocess.Popen[bytes]":
        text = program.group(1).replace("1883", str(broker.port))
        return subprocess.Popen([sys.executable, "-c", text], cwd=tmp_path)

    def recorded() -> list[int]:
        with contextlib.closing(sqlite3.connect(tmp_path / "mes.sqlite")) as database:
            try:
                return [row[0] for row in database.execute("SELECT result_id FROM parts")]
            except sqlite3.OperationalError:
                return []

    async def scenario(broker: Broker) -> None:
        gateway = MadeGateway(tmp_path / "store.sqlite", mqtt={"port": broker.port})
        adapter = asyncio.create_task(MqttAdapter(gateway.settings.mqtt).run(gateway))  # type: ignore[arg-type]
        subscriber = mes(broker)
        await until(lambda: "Sending SUBACK to mes" in broker.log(), LIMIT_S)
        gateway.add(*(result(number) for number in range(1, 21)))
        await until(lambda: len(recorded()) >= 5, LIMIT_S)
        subscriber.kill()
        subscriber.wait()
        gateway.add(*(result(number) for number in range(21, 41)))
        await until(lambda: gateway.store.cursor("mqtt") == 40, LIMIT_S)
        subscriber = mes(broker)
        await until(lambda: len(recorded()) == 40, LIMIT_S)
        subscriber.kill()
        subscriber.wait()
        await end(adapter)
        gateway.store.close()

    with Broker(tmp_path / "broker") as broker:
        asyncio.run(scenario(broker))
    assert sorted(recorded()) == list(range(1, 41))
