"""Messages to systemd on a real datagram socket, by sd_notify(3)."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cmfm_service.systemd import SystemdNotifier, watchdog_s
from cmfm_worker.errors import StartupError

NS_PER_S = 1_000_000_000


class SetClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_ns = 0

    def monotonic_ns(self) -> int:
        return self.now_ns

    def realtime_ns(self) -> int:
        return self.now_ns


@contextmanager
def listening(address: str) -> Iterator[socket.socket]:
    """Open the receiving end, as systemd does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        listener.setblocking(False)
        yield listener


def received(listener: socket.socket) -> list[dict[str, str]]:
    """Return every message so far, as its assignments."""
    messages: list[dict[str, str]] = []
    while True:
        try:
            text = listener.recv(4096).decode()
        except BlockingIOError:
            return messages
        messages.append(dict(line.split("=", 1) for line in text.split("\n")))


@pytest.mark.parametrize("abstract", [False, True])
def test_life_of_a_unit(tmp_path: Path, abstract: bool) -> None:
    """Ready, reloaded and stopping arrive as systemd expects them, on a path and on an abstract name."""
    address = f"@cmfm-{uuid.uuid4().hex}" if abstract else str(tmp_path / "notify")
    with listening(address) as listener:
        notifier = SystemdNotifier.from_environment({"NOTIFY_SOCKET": address}, os.getpid())
        notifier.status("starting")
        notifier.ready("ready: 0 parts")
        notifier.reloading()
        notifier.ready("ready: 3 parts")
        notifier.stopping("draining")
        notifier.close()
        starting, ready, reloading, again, stopping = received(listener)
    assert starting == {"STATUS": "starting"}
    assert ready == {"READY": "1", "STATUS": "ready: 0 parts"}
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert again["READY"] == "1"
    assert stopping == {"STOPPING": "1", "STATUS": "draining"}


def test_watchdog_is_fed_by_turns_alone(tmp_path: Path) -> None:
    """A loop that turns feeds the watchdog well within its limit; one that stands still does not."""
    clock = SetClock()
    with listening(str(tmp_path / "notify")) as listener:
        notifier = SystemdNotifier(str(tmp_path / "notify"), watchdog_s=2.0, clock=clock)
        for _ in range(100):
            notifier.turned(lambda: "ready: 7 parts")
            clock.now_ns += NS_PER_S // 10
        fed = received(listener)
        assert 10 <= len(fed) <= 25
        assert fed[0] == {"WATCHDOG": "1", "STATUS": "ready: 7 parts"}
        clock.now_ns += 10 * NS_PER_S
        assert received(listener) == []
        notifier.close()


def test_feed_that_does_not_fit_is_tried_again(tmp_path: Path) -> None:
    """If systemd reads slowly, the loop is not delayed and the next turn tries again."""
    clock = SetClock()
    with listening(str(tmp_path / "notify")) as listener:
        notifier = SystemdNotifier(str(tmp_path / "notify"), watchdog_s=0.001, clock=clock)
        for _ in range(2000):  # far more than a datagram socket holds
            notifier.turned(lambda: "")
            clock.now_ns += NS_PER_S
        assert received(listener)
        notifier.turned(lambda: "")
        assert len(received(listener)) == 1
        notifier.close()


def test_without_systemd_nothing_is_sent() -> None:
    """Without systemd every call is allowed and does nothing."""
    notifier = SystemdNotifier.from_environment({"WATCHDOG_USEC": "1000000"}, 1)
    notifier.ready("ready")
    notifier.turned(lambda: "never asked")
    notifier.close()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
    ],
)
def test_watchdog_of_this_process_only(environment: dict[str, str], expected: float | None) -> None:
    """The limit counts only for the process that WATCHDOG_PID names."""
    assert watchdog_s(environment, 42) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"NOTIFY_SOCKET": "relative"},
        {"NOTIFY_SOCKET": "/nowhere/at/all"},
        {"NOTIFY_SOCKET": "@"},
        {"WATCHDOG_USEC": "0"},
        {"WATCHDOG_USEC": "soon"},
    ],
)
def test_environment_that_systemd_never_writes(environment: dict[str, str]) -> None:
    """The start fails with a message that names the variable: the unit would wait for READY=1 in vain."""
    (name,) = environment
    with pytest.raises(StartupError, match=name):
        SystemdNotifier.from_environment(environment, 1)
