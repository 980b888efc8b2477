"""Reports of a camera in state, metrics and probes: its connection, its last frame, and whether it is lost."""

import math

from prometheus_client import CollectorRegistry
from tests.unit.service.test_systemd import NS_PER_S, SetClock

from cmfm_service.systemd import SystemdNotifier
from cmfm_worker.line.health.gc_control import GcControl
from cmfm_worker.line.health.liveness import LivenessMonitor
from cmfm_worker.line.health.metrics import LineCollector
from cmfm_worker.line.health.reporter import HealthReporter
from cmfm_worker.line.health.totals import Totals
from cmfm_worker.line.messages import SourceChanged, SourceSeen
from cmfm_worker.line.verdicts.worker_state import StateReporter

CAMERA = "tcp://127.0.0.1:5555"


def reporter(clock: SetClock) -> StateReporter:
    return StateReporter(
        boot_id="boot",
        device="cpu",
        cameras={CAMERA: "left"},
        clock=clock,
        totals=Totals,
        queue_free=lambda: 1,
        part_ns=lambda: None,
    )


def frame_age(state: StateReporter) -> float | None:
    registry = CollectorRegistry()
    registry.register(LineCollector(Totals, dict, state.sources_alive, state.frame_ages_s, state.cameras))
    return registry.get_sample_value("cmfm_last_frame_age_seconds", {"endpoint": CAMERA, "camera": "left"})


def test_last_frame_of_each_camera_is_in_state_and_metrics() -> None:
    """Heartbeats go on when frames stay away: the age of the last frame tells."""
    clock = SetClock()
    clock.now_ns = 100 * NS_PER_S
    state = reporter(clock)
    assert math.isnan(frame_age(state) or 0)
    state.source_changed(SourceSeen(CAMERA, "cam", frame=True))
    clock.now_ns += 7 * NS_PER_S
    state.source_changed(SourceSeen(CAMERA, "cam"))
    (source,) = state.message([]).sources
    assert source.name == "left"
    assert (source.last_frame_ns, source.last_seen_ns) == (100 * NS_PER_S, 107 * NS_PER_S)
    assert frame_age(state) == 7


def test_readiness_follows_the_cameras_that_were_connected() -> None:
    """A lost camera makes the line not ready and is named; one that is not there yet, or has said goodbye, does not."""
    clock = SetClock()
    state = reporter(clock)

    health = HealthReporter(
        totals=Totals,
        phase=lambda: "ready",
        cameras_lost=state.sources_lost,
        liveness=LivenessMonitor({}, limit_s=1, clock=clock),
        notifier=SystemdNotifier(),
        gc_control=GcControl(),
    )
    assert health.readyz() == (True, "ready")
    for alive, closed, passes in [
        (True, False, True),
        (False, False, False),
        (True, False, True),
        (False, True, True),
    ]:
        state.source_changed(SourceChanged(CAMERA, alive=alive, closed=closed))
        assert health.readyz().passes is passes
        assert (CAMERA in health.readyz().text) is not passes
