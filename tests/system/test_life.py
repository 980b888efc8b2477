"""The life of the service as systemd and Kubernetes see it, also when a device hangs."""

import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cmfm_protocol.wire.verdict import Reason, Verdict
from cmfm_sim.ports import free_ports

from .conftest import Line
from .hand_camera import HandCamera

pytestmark = [pytest.mark.system, pytest.mark.timeout(400)]

MakeLine = Callable[[str], Line]


class Systemd:
    """The receiving end of sd_notify."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._socket.setblocking(False)
        self._received: list[str] = []

    def received(self) -> list[str]:
        """Return every assignment so far, without the status lines."""
        while True:
            try:
                text = self._socket.recv(4096).decode()
            except BlockingIOError:
                return self._received
            self._received += [line for line in text.split("\n") if not line.startswith("STATUS=")]

    def fed(self) -> int:
        """Return how often the watchdog has been fed."""
        return self.received().count("WATCHDOG=1")

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Systemd]:
    """The worker's supervisor, with a watchdog of 2 s."""
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    made = Systemd(tmp_path / "notify")
    yield made
    made.close()


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=10) as response:  # noqa: S310 (our own server)
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def metric(url: str, name: str) -> float:
    (line,) = [line for line in get(f"{url}/metrics")[1].splitlines() if line.startswith(f"{name} ")]
    return float(line.split()[1])


def test_supervisors_follow_a_life_from_start_to_end(
    make_line: MakeLine, synthetic_root: Path, systemd: Systemd
) -> None:
    """Probes and systemd report ready after warm-up, alive while the loop turns, reloading on SIGHUP, stopping."""
    line = make_line("ipc")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    worker = line.start(metrics={"port": port})
    line.wait_for(lambda: "READY=1" in systemd.received(), worker, 20)
    assert get(f"{url}/readyz") == (200, "ready\n")
    status, text = get(f"{url}/livez")
    assert status == 200
    assert {line.split(":")[0] for line in text.splitlines()} == {"loop", "verdicts", "intake"}
    assert metric(url, "cmfm_gc_frozen_objects") > 100_000
    with HandCamera(line.endpoints.frames, synthetic_root) as camera:
        camera.wait_for_worker()
        worker.signal(signal.SIGHUP)
        for part in range(10):
            camera.send(f"p{part}")
        line.wait_for(lambda: len(line.received) == 10, worker, 90)
    fed = systemd.fed()
    line.wait_for(lambda: systemd.fed() >= fed + 2, worker, 30)  # also while idle
    line.wait_for(lambda: systemd.received().count("READY=1") == 2, worker, 30)
    assert metric(url, "cmfm_gc_pause_seconds_total") > 0
    line.finish(worker)
    assert all(item.result.verdict is not Verdict.FAULT for item in line.received)
    others = [item for item in systemd.received() if item != "WATCHDOG=1" and "MONOTONIC_USEC" not in item]
    assert others == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]


def test_hung_device_ends_the_line_after_its_faults(
    make_line: MakeLine, synthetic_root: Path, systemd: Systemd
) -> None:
    """If a computation never returns: no watchdog feed, a FAULT for each open part, exit code 5."""
    line = make_line("ipc")
    line.program = [sys.executable, str(Path(__file__).with_name("hanging_worker.py"))]
    device: dict[str, object] = {"threads": 1, "warmup_px": 160, "hang_limit_s": 8.0}
    worker = line.start(device=device, batch={"max_batch": 1})
    with HandCamera(line.endpoints.frames, synthetic_root) as camera:
        camera.wait_for_worker()
        camera.send("good")
        line.wait_for(lambda: len(line.received) == 1, worker, 60)
        camera.send("hang")
        time.sleep(1.5)
        fed = systemd.fed()
        for part in range(3):
            camera.send(f"behind{part}")
        line.wait_for_end(worker, 120)
    assert worker.returncode == 5, worker.output()
    assert systemd.fed() <= fed + 1
    good, *open_parts = (item.result for item in line.received)
    assert good.verdict is not Verdict.FAULT
    assert {(result.part_id, result.reason) for result in open_parts} == {
        (part, Reason.WORKER_ERROR) for part in ("hang", "behind0", "behind1", "behind2")
    }
    assert all("hangs" in result.detail for result in open_parts)
    assert {(row[2], row[3]) for row in line.ledger()[1:]} == {("FAULT", "worker_error")}
    assert "device_given_up" in worker.output()


def test_second_interrupt_forces_the_end(make_line: MakeLine, synthetic_root: Path) -> None:
    """Ctrl-C drains and waits for the hanging part; a second Ctrl-C makes it a FAULT and ends with 1."""
    line = make_line("ipc")
    line.program = [sys.executable, str(Path(__file__).with_name("hanging_worker.py"))]
    worker = line.start()
    with HandCamera(line.endpoints.frames, synthetic_root) as camera:
        camera.wait_for_worker()
        camera.send("hang")
        line.wait_for(lambda: bool(line.states) and line.states[-1].in_flight == 1, worker, 30)
        worker.signal(signal.SIGINT)
        line.listen(2.0)
        worker.require_success()
        assert "stopped" not in {state.phase for state in line.states}
        worker.signal(signal.SIGINT)
        line.wait_for_end(worker, 60)
    assert worker.returncode == 1, worker.output()
    assert [(item.result.part_id, item.result.reason) for item in line.received] == [
        ("hang", Reason.DRAINING)
    ]
