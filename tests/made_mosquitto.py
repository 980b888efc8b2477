"""A real mosquitto on a free port, and mosquitto_sub and mosquitto_pub beside it; skips without them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

SUBSCRIBED = "cmfm/#"
WAIT_S = 20.0
DEBIAN = {
    "mosquitto_passwd": "mosquitto",
    "mosquitto_rr": "mosquitto-clients",
    "mbpoll": "mbpoll",
    "mosquitto": "mosquitto",
    "mosquitto_sub": "mosquitto-clients",
    "mosquitto_pub": "mosquitto-clients",
}


def program(name: str) -> str:
    """The path of a program; skips the test without it, unless foreign clients are required."""
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        message = f"needs {name}, of the Debian package {DEBIAN[name]}"
        if os.environ.get("CMFM_FOREIGN_CLIENTS") == "required":
            pytest.fail(message)
        pytest.skip(message)
    return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], Any], what: str, limit_s: float = WAIT_S) -> Any:
    """Wait until a condition returns something true, and return that."""
    ends = time.monotonic() + limit_s
    while time.monotonic() < ends:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"{what}: not within {limit_s:g} s")


class Broker:
    """mosquitto with lines of its configuration file; messages for sleeping subscribers survive its kill."""

    def __init__(
        self, folder: Path, *lines: str, listener: tuple[str, ...] = (), anonymous: bool = True
    ) -> None:
        self.port = free_port()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "mosquitto.conf"
        general = [
            "per_listener_settings false",
            "persistence true",
            "autosave_interval 1",
            f"persistence_location {folder}/",
            "max_queued_messages 1000000",  # 0 makes 2.0.11 cut off whoever publishes without permission
            f"allow_anonymous {str(anonymous).lower()}",
            *([f"user {os.environ.get('USER', 'root')}"] if os.geteuid() == 0 else []),
            *lines,
        ]
        text = "\n".join([*general, f"listener {self.port} 127.0.0.1", *listener])
        self._config.write_text(text + "\n", encoding="utf-8")
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Broker:
        """Start it, again after `kill` on the same port."""
        with (self.folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program("mosquitto"), "-v", "-c", str(self._config)], stdout=log, stderr=log
            )
        wait_until(self._answers, "mosquitto takes connections")
        return self

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def reload(self) -> None:
        """Let it read its access list again."""
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def stop(self) -> None:
        """End it in order, so that it saves what it holds."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()

    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(encoding="utf-8")

    def __enter__(self) -> Broker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log()
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Listener:
    """mosquitto_sub: a foreign subscriber with a session that outlives it; what it prints is kept over its kill."""

    def __init__(
        self,
        broker: Broker,
        *options: str,
        topic: str = SUBSCRIBED,
        name: str = "listener",
        binary: bool = False,
    ) -> None:
        self._broker = broker
        self._options = options
        self._topic = topic
        self._name = name
        self._format = "%t %x" if binary else "%j"
        self._path = broker.folder / f"{name}.jsonl"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Listener:
        """Start it and wait until it has subscribed."""
        command = [program("mosquitto_sub"), "-p", str(self._broker.port), "-V", "mqttv5", "-q", "1", "-c"]
        command += ["-i", self._name, "-x", "3600", "-t", self._topic, "-F", self._format, *self._options]
        mark = f"Sending SUBACK to {self._name}"
        before = self._broker.log().count(mark)
        with self._path.open("ab") as out, self._path.with_suffix(".err").open("ab") as errors:
            self._process = subprocess.Popen(command, stdout=out, stderr=errors)
        wait_until(lambda: self._broker.log().count(mark) > before, "mosquitto_sub has subscribed")
        return self

    def kill(self) -> None:
        """`kill -9`."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Listener:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def messages(self, kind: str = "") -> list[dict[str, Any]]:
        """The messages so far, `payload` as an object; `kind` selects topics by their end."""
        lines = self._path.read_text(encoding="utf-8").split("\n")[:-1]
        found = [json.loads(line) for line in lines if line]
        return [_read(message) for message in found if message["topic"].endswith(f"/{kind}" if kind else "")]

    def count(self) -> int:
        """The number of messages so far."""
        with self._path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 20), b""))

    def payloads(self) -> list[tuple[str, bytes]]:
        """Topic and payload of each message, if `binary`."""
        lines = self._path.read_text(encoding="utf-8").split("\n")[:-1]
        return [
            (topic, bytes.fromhex(payload)) for topic, _, payload in (line.partition(" ") for line in lines)
        ]


def _read(message: dict[str, Any]) -> dict[str, Any]:
    return message | {"payload": json.loads(message["payload"])}


def publish(broker: Broker, topic: str, payload: str, *options: str) -> None:
    """Publish with mosquitto_pub; an empty payload leaves it to `options`."""
    command = [program("mosquitto_pub"), "-p", str(broker.port), "-V", "mqttv5", "-q", "1", "-t", topic]
    content = ["-m", payload] if payload else []
    subprocess.run([*command, *content, *options], check=True, capture_output=True, timeout=WAIT_S)
