"""Measures how long a verdict takes from the worker's socket to an MQTT subscriber, and to the broker's PUBACK.

`python -m cmfm_gateway.bench_mqtt --broker 1883` publishes results at a line's rate and runs `cmfm-gateway` as a
process of its own, with the broker that listens on that port of this host. A PUBACK counts when the store has noted it.
"""

import json
import sqlite3
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Final

import paho.mqtt.client as mqtt
import typer
from paho.mqtt.enums import CallbackAPIVersion

from cmfm_gateway.bench import LOST_S, Publisher, print_times, running_gateway

SITE: Final = "bench"
POLL_S: Final = 0.0005


class Arrivals:
    """A subscriber: when each result came, on the monotonic clock."""

    def __init__(self, port: int) -> None:
        self.at_s: dict[int, float] = {}
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._note
        self._client.on_connect = lambda client, *_: client.subscribe(f"cmfm/{SITE}/line1/result", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        try:
            self._client.connect("127.0.0.1", port)
        except OSError as error:
            raise SystemExit(f"no broker on port {port}: {error}; start mosquitto -p {port}") from error
        self._client.loop_start()
        self._subscribed.wait(LOST_S)

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _note(self, _client: mqtt.Client, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        now_s = time.monotonic()
        self.at_s[json.loads(message.payload)["result_id"]] = now_s


def measure(
    publisher: Publisher, store: Path, arrivals: Arrivals, parts: int, rate_hz: float
) -> list[list[float]]:
    """Return the seconds to arrival and to PUBACK of each result. A lost one raises SystemExit."""
    with sqlite3.connect(f"file:{store}?mode=ro", uri=True) as database:
        arrived, acknowledged = [], []
        next_s = time.monotonic()
        for number in range(1, parts + 1):
            while time.monotonic() < next_s:
                publisher.heartbeat()
                time.sleep(0.005)
            next_s += 1 / rate_hz
            sent_s = publisher.result()
            while _confirmed(database) < number:
                if time.monotonic() - sent_s > LOST_S:
                    raise SystemExit(f"result {number} was not acknowledged")
                time.sleep(POLL_S)
            acknowledged.append(time.monotonic() - sent_s)
            while number not in arrivals.at_s:
                if time.monotonic() - sent_s > LOST_S:
                    raise SystemExit(f"result {number} did not come")
                time.sleep(POLL_S)
            arrived.append(arrivals.at_s[number] - sent_s)
    return [arrived, acknowledged]


def bench(
    broker: Annotated[int, typer.Option(min=1, max=65535, help="Port of a broker on this host.")] = 1883,
    parts: Annotated[int, typer.Option(min=10, help="Results to publish.")] = 1_000,
    rate_hz: Annotated[float, typer.Option(min=1, help="Results a second.")] = 20.0,
) -> None:
    """Measure the time from a verdict on ZeroMQ to an MQTT subscriber and to the broker's acknowledgement."""
    arrivals = Arrivals(broker)
    section = f'[mqtt]\nenabled = true\nport = {broker}\nsite = "{SITE}"\n'
    with closing(arrivals), tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running_gateway(folder, section) as publisher:
            time.sleep(1.0)
            times_s = measure(publisher, folder / "gateway.sqlite", arrivals, parts, rate_hz)
    for where, values in zip(("MQTT subscriber", "PUBACK noted"), times_s, strict=True):
        print_times(where, values, rate_hz)


def _confirmed(database: sqlite3.Connection) -> int:
    row = database.execute("SELECT number FROM cursors WHERE consumer = 'mqtt'").fetchone()
    return int(row[0]) if row else 0


if __name__ == "__main__":
    typer.run(bench)
