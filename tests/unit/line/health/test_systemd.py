"""What systemd hears, on a real datagram socket: the protocol of sd_notify(3) to the letter."""

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cmfm_worker.errors import StartupError
from cmfm_worker.line.health.systemd import Supervisor, watchdog_s

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
    """The other end, as systemd has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        listener.setblocking(False)
        yield listener


def heard(listener: socket.socket) -> list[dict[str, str]]:
    """Every message so far, as its assignments."""
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
        supervisor = Supervisor.from_environment({"NOTIFY_SOCKET": address}, os.getpid())
        supervisor.status("starting")
        supervisor.ready("ready: 0 parts")
        supervisor.reloading()
        supervisor.ready("ready: 3 parts")
        supervisor.stopping("draining")
        supervisor.close()
        starting, ready, reloading, again, stopping = heard(listener)
    assert starting == {"STATUS": "starting"}
    assert ready == {"READY": "1", "STATUS": "ready: 0 parts"}
    assert reloading["RELOADING"] == "1"
    assert int(reloading["MONOTONIC_USEC"]) > 0
    assert again["READY"] == "1"
    assert stopping == {"STOPPING": "1", "STATUS": "draining"}


def test_watchdog_is_fed_by_turns_alone(tmp_path: Path) -> None:
    """A loop that turns feeds it well within its limit and no more often; one that stands still does not."""
    clock = SetClock()
    with listening(str(tmp_path / "notify")) as listener:
        supervisor = Supervisor(str(tmp_path / "notify"), watchdog_s=2.0, clock=clock)
        for _ in range(100):
            supervisor.turned(lambda: "ready: 7 parts")
            clock.now_ns += NS_PER_S // 10
        fed = heard(listener)
        assert 10 <= len(fed) <= 25
        assert fed[0] == {"WATCHDOG": "1", "STATUS": "ready: 7 parts"}
        clock.now_ns += 10 * NS_PER_S
        assert heard(listener) == []
        supervisor.close()


def test_feed_that_does_not_fit_is_made_up_for(tmp_path: Path) -> None:
    """A supervisor that reads slowly neither holds the loop up nor costs a feed: the next turn tries again."""
    clock = SetClock()
    with listening(str(tmp_path / "notify")) as listener:
        supervisor = Supervisor(str(tmp_path / "notify"), watchdog_s=0.001, clock=clock)
        for _ in range(2000):  # far more than a datagram socket holds
            supervisor.turned(lambda: "")
            clock.now_ns += NS_PER_S
        assert heard(listener)
        supervisor.turned(lambda: "")
        assert len(heard(listener)) == 1
        supervisor.close()


def test_without_systemd_nothing_is_sent() -> None:
    """Started by hand, every call is allowed and does nothing."""
    supervisor = Supervisor.from_environment({"WATCHDOG_USEC": "1000000"}, 1)
    supervisor.ready("ready")
    supervisor.turned(lambda: "never asked")
    supervisor.close()


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
    """The limit counts only for the process that it was meant for."""
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
    """A unit that would wait for READY=1 in vain ends at once with a message that names the variable."""
    (name,) = environment
    with pytest.raises(StartupError, match=name):
        Supervisor.from_environment(environment, 1)
