"""Measures how long a verdict takes from the worker's socket to an MQTT subscriber, and to the broker's PUBACK.

`python -m cmfm_gateway.bench_mqtt --broker 1883` publishes results at a line's rate and runs `cmfm-gateway` as a
process of its own, with the broker that listens on that port of this host. A PUBACK counts when the store has noted it.
"""

import json
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import paho.mqtt.client as mqtt
import typer
from paho.mqtt.enums import CallbackAPIVersion

from cmfm_gateway.bench import LOST_S, Publisher, percentile

SITE: Final = "bench"
POLL_S: Final = 0.0005
SHARES: Final = (50, 90, 99)


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
    arrivals, publisher = Arrivals(broker), Publisher()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "gateway.toml"
        config.write_text(
            f'[worker]\nresults = "{publisher.endpoint}"\n[mqtt]\nenabled = true\nport = {broker}\n'
            f'site = "{SITE}"\n[log]\nlevel = "warning"\n'
        )
        gateway = subprocess.Popen([sys.executable, "-m", "cmfm_gateway.app", "--config", str(config)])
        try:
            publisher.wait_for_subscriber()
            publisher.heartbeat()
            time.sleep(1.0)
            times_s = measure(publisher, Path(folder) / "gateway.sqlite", arrivals, parts, rate_hz)
        finally:
            gateway.terminate()
            gateway.wait()
            publisher.close()
            arrivals.close()
    for what, values in zip(("MQTT subscriber", "PUBACK noted"), times_s, strict=True):
        sys.stdout.write(
            f"verdict on ZeroMQ to {what}, {parts} results at {rate_hz:g} a second: {_shown(values)}\n"
        )


def _confirmed(database: sqlite3.Connection) -> int:
    row = database.execute("SELECT number FROM cursors WHERE consumer = 'mqtt'").fetchone()
    return int(row[0]) if row else 0


def _shown(values: Sequence[float]) -> str:
    ordered = sorted(values)
    figures = {f"p{share}": percentile(ordered, share / 100) for share in SHARES} | {"most": ordered[-1]}
    return ", ".join(f"{name} {value * 1000:.2f} ms" for name, value in figures.items())


if __name__ == "__main__":
    typer.run(bench)
