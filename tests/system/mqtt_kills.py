"""Results through `cmfm-gateway` to mosquitto and mosquitto_sub, while each of the three is killed again and again.

`python -m tests.system.mqtt_kills --results 100000` is the long form; `test_mqtt_kills.py` runs a short one. The record
of the subscriber must hold every result, in order of its first arrivals, and every repetition marked.
"""

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.made_mosquitto import Broker, Listener
from tests.unit.made.publishing_line import PublishingLine

RATE_PAUSE_S = 0.002
LIMIT_S = 300.0


class GatewayProcess:
    """`cmfm-gateway` as a process of its own, started again on the same store."""

    def __init__(self, folder: Path, line: PublishingLine, broker: Broker) -> None:
        self._config = folder / "gateway.toml"
        worker = "".join(f'{key} = "{value}"\n' for key, value in line.worker_section.items())
        self._config.write_text(
            f"[worker]\n{worker}[mqtt]\nenabled = true\nport = {broker.port}\nreconnect_max_s = 0.5\n"
            '[log]\nformat = "json"\n',
            encoding="utf-8",
        )
        self._log = folder / "gateway.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "cmfm_gateway.app", "--config", str(self._config)]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, env=dict(os.environ))

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> int:
        """End it in order; returns its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait()


@dataclass
class Record:
    """The subscriber's record. `redelivered`: the broker gave one publication twice to a subscriber that was killed."""

    missing: list[int] = field(default_factory=list)
    unmarked: list[int] = field(default_factory=list)
    out_of_order: list[int] = field(default_factory=list)
    arrived: int = 0
    repeated: int = 0
    redelivered: int = 0


def judge(messages: list[dict[str, Any]], published: int) -> Record:
    """Compare a subscriber's record with what was published."""
    record, seen, newest = Record(arrived=len(messages)), dict[int, set[int]](), 0
    for message in messages:
        payload = message["payload"]
        number: int = payload["result_id"]
        if payload["sent_ns"] in seen.get(number, ()):
            record.redelivered += 1
        elif number in seen:
            record.repeated += 1
            record.unmarked += [] if payload["dup"] else [number]
        elif number < newest:
            record.out_of_order.append(number)
        seen.setdefault(number, set()).add(payload["sent_ns"])
        newest = max(newest, number)
    record.missing = sorted(set(range(1, published + 1)) - set(seen))
    return record


def run(
    folder: Path, results: int, kills: int, seed: int, say: Callable[[str], None] = lambda _: None
) -> Record:
    """Publish results and kill gateway, broker and subscriber in turn, `kills` times each; returns the record."""
    chance = random.Random(seed)
    with PublishingLine() as line:
        # Without a limit of messages in flight nothing that is acknowledged waits in the broker's memory alone.
        broker = Broker(folder / "broker", "max_inflight_messages 0").start()
        listener = Listener(broker, topic="cmfm/+/+/result").start()
        gateway = GatewayProcess(folder, line, broker)
        gateway.start()
        line.wait_for_subscriber()
        line.heartbeat()
        moments = sorted(chance.sample(range(results // 10, results), 3 * kills))
        victims = ["gateway", "broker", "listener"] * kills
        try:
            for number in range(1, results + 1):
                line.publish()
                if number % 50 == 0:
                    line.heartbeat()
                    time.sleep(50 * RATE_PAUSE_S)
                if moments and number == moments[0]:
                    moments.pop(0)
                    victim = victims.pop(0)
                    say(f"{number}: kill {victim}")
                    strike(victim, gateway, broker, listener, chance.uniform(0.0, 0.5))
            wait_for_all(line, listener, results, say)
        finally:
            code = gateway.stop()
            listener.kill()
            broker.stop()
    assert code == 0, f"the gateway ended with {code}"
    return judge(listener.messages("result"), results)


def strike(victim: str, gateway: GatewayProcess, broker: Broker, listener: Listener, pause_s: float) -> None:
    """Kill one of the three and start it again. The broker saves at most once a second what it holds."""
    if victim == "gateway":
        gateway.kill()
        time.sleep(pause_s)
        gateway.start()
    elif victim == "listener":
        listener.kill()
        time.sleep(pause_s)
        listener.start()
    else:
        broker.kill()
        time.sleep(pause_s)
        broker.start()
        listener.kill()
        listener.start()


def wait_for_all(line: PublishingLine, listener: Listener, results: int, say: Callable[[str], None]) -> None:
    """Wait until the subscriber has everything, or nothing has come for a while."""
    ends, seen, changed = time.monotonic() + LIMIT_S, 0, time.monotonic()
    while time.monotonic() < ends and time.monotonic() - changed < 30:
        line.heartbeat()
        lines = listener.count()
        if lines != seen:
            seen, changed = lines, time.monotonic()
        if seen >= results and time.monotonic() - changed > 2:
            return
        time.sleep(0.5)
    say(f"only {seen} lines")


def main() -> None:
    """Run the long form and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=10, help="of each of gateway, broker and subscriber")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        record = run(Path(folder), options.results, options.kills, options.seed, print)
    print(
        f"{options.results} results, {3 * options.kills} kills, {time.monotonic() - began_s:.0f} s: "
        f"{record.arrived} arrived, {len(record.missing)} missing, {record.repeated} repeated, "
        f"{len(record.unmarked)} of them not marked, {record.redelivered} delivered twice by the broker, "
        f"{len(record.out_of_order)} out of order"
    )
    sys.exit(bool(record.missing or record.unmarked or record.out_of_order))


if __name__ == "__main__":
    main()
