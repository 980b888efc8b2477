"""Probes over real HTTP, and the liveness of threads behind them."""

import contextlib
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from tests.unit.service.test_systemd import NS_PER_S, SetClock

from cmfm_service.http import CLIENT_LIMIT_S, MAX_CLIENTS, Health, Probe, application, serve_http
from cmfm_worker.errors import StartupError
from cmfm_worker.line.health.liveness import CompletedTurns, LivenessMonitor


def metrics(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
    """A page of metrics."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"cmfm_triggers_total 0\n"]


def served(probes: dict[str, Probe]) -> tuple[str, Callable[[], None]]:
    port, stop = serve_http("127.0.0.1", 0, application(metrics, probes))
    return f"http://127.0.0.1:{port}", stop


def get(url: str, method: str = "GET") -> tuple[int, str]:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=10) as response:  # noqa: S310
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_probes_beside_metrics() -> None:
    """One server serves probes (200 or 503 with the reason), metrics, and a 404 that names the paths."""
    health = [Health(passes=True, text="ready")]
    url, stop = served({"/readyz": lambda: health[0]})
    try:
        assert get(f"{url}/readyz") == (200, "ready\n")
        assert get(f"{url}/readyz", "HEAD") == (200, "")
        health[0] = Health(passes=False, text="draining")
        assert get(f"{url}/readyz") == (503, "draining\n")
        assert get(f"{url}/metrics") == (200, "cmfm_triggers_total 0\n")
        status, text = get(f"{url}/elsewhere")
        assert status == 404
        assert "/readyz" in text
    finally:
        stop()
    with pytest.raises(OSError, match=r"refused|reset"):
        get(f"{url}/readyz")


def test_port_in_use_is_named() -> None:
    """A port that another process has stops the start."""
    url, stop = served({})
    port = int(url.rsplit(":", 1)[1])
    try:
        with pytest.raises(StartupError, match=str(port)):
            serve_http("127.0.0.1", port, application(metrics, {}))
    finally:
        stop()


def test_thread_that_completes_no_turn_is_stalled() -> None:
    """Only a thread that has begun and not ended can stall, and it recovers with its next turn."""
    clock = SetClock()
    loop, verdicts, intake = CompletedTurns(), CompletedTurns(), CompletedTurns()
    liveness = LivenessMonitor(
        {"loop": loop, "verdicts": verdicts, "intake": intake}, limit_s=45, clock=clock
    )
    clock.now_ns = 100 * NS_PER_S
    assert liveness.stalled() == []  # no thread has begun
    loop.begin(clock.now_ns)
    intake.complete(clock.now_ns)
    intake.end()
    clock.now_ns += 44 * NS_PER_S
    assert liveness.stalled() == []
    clock.now_ns += 2 * NS_PER_S
    assert liveness.stalled() == ["loop"]
    assert liveness.ages_s() == {"loop": 46}
    loop.complete(clock.now_ns)
    assert liveness.stalled() == []
    assert loop.completed == 1


def http_threads() -> int:
    return sum("process_request_thread" in thread.name for thread in threading.enumerate())


def test_slow_clients_are_bounded_and_probes_get_through() -> None:
    """Hundreds of clients that send nothing cost few threads, and none of them delays a probe."""
    url, stop = served({"/readyz": lambda: Health(passes=True, text="ready")})
    address = ("127.0.0.1", int(url.rsplit(":", 1)[1]))
    with contextlib.ExitStack() as stack:
        stack.callback(stop)
        for _ in range(300):
            stack.enter_context(socket.create_connection(address, timeout=5))
        began_s = time.monotonic()
        assert get(f"{url}/readyz") == (200, "ready\n")
        assert time.monotonic() - began_s < CLIENT_LIMIT_S
        assert http_threads() <= 2 * MAX_CLIENTS


def test_client_that_sends_a_byte_now_and_then_is_disconnected() -> None:
    """The limit is for the whole request, not for each byte of it."""
    url, stop = served({})
    with contextlib.ExitStack() as stack:
        stack.callback(stop)
        client = stack.enter_context(
            socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])), timeout=0.5)
        )
        began_s = time.monotonic()
        client.sendall(b"GET /readyz HTTP/1.1\r\n")
        while is_connected(client):
            assert time.monotonic() - began_s < 2 * CLIENT_LIMIT_S
        until_s = time.monotonic() + 5
        while http_threads():
            assert time.monotonic() < until_s
            time.sleep(0.05)


def is_connected(client: socket.socket) -> bool:
    """Send one more byte of the request. Returns whether the server still waits for the rest."""
    try:
        client.sendall(b"x")
        return bool(client.recv(100))
    except TimeoutError:
        return True
    except OSError:
        return False
