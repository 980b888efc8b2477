"""Probes over real HTTP, and the liveness of threads behind them."""

import urllib.error
import urllib.request
from collections.abc import Callable
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from tests.unit.line.health.test_systemd import NS_PER_S, SetClock

from cmfm_worker.errors import StartupError
from cmfm_worker.line.health.http import Health, Probe, application, serve_http
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
