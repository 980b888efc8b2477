"""Health reports: what probes and systemd learn of the line, and garbage collection between turns.

The threads that are reported on drive everything here: the loop calls `turned` when it has completed a turn, and
probes read the turns that threads have completed. No timer ever reports the line as alive.
"""

from collections.abc import Callable, Sequence

import structlog

from cmfm_protocol.wire.state import WorkerPhase
from cmfm_service.http import Health, Probe
from cmfm_service.systemd import SystemdNotifier
from cmfm_worker.line.health.gc_control import GcControl
from cmfm_worker.line.health.liveness import LivenessMonitor
from cmfm_worker.line.health.totals import Totals


class HealthReporter:
    """Reports the health of one line."""

    def __init__(
        self,
        *,
        totals: Callable[[], Totals],
        phase: Callable[[], WorkerPhase],
        cameras_lost: Callable[[], Sequence[str]],
        liveness: LivenessMonitor,
        notifier: SystemdNotifier,
        gc_control: GcControl,
    ) -> None:
        self._totals = totals
        self._phase = phase
        self._cameras_lost = cameras_lost
        self._liveness = liveness
        self._notifier = notifier
        self._gc_control = gc_control

    def begin(self, hang_limit_s: float) -> None:
        """Report that the line is starting."""
        self._notifier.status("starting: loading recipes and warming up")
        watchdog_s = self._notifier.watchdog_s
        if watchdog_s is not None and watchdog_s <= hang_limit_s:
            structlog.get_logger("supervisor").warning(
                "watchdog_too_short",
                detail="it ends the process before the hang limit does, and parts get no FAULT: raise WatchdogSec",
                watchdog_s=watchdog_s,
                hang_limit_s=hang_limit_s,
            )

    def steady(self) -> None:
        """Freeze what was loaded: the warm-up is over."""
        self._gc_control.freeze()

    def ready(self) -> None:
        """Report that frames are accepted, or that recipes have been loaded again."""
        self._notifier.ready(self.summary())

    def turned(self, *, idle: bool) -> None:
        """Note that the loop has completed a turn; `idle` if nothing was left to do."""
        self._notifier.turned(self.summary)
        if idle:
            self._gc_control.collect_when_idle()

    def reloading(self) -> None:
        """Report that recipes are being loaded again; `ready` ends it."""
        self._notifier.reloading()

    def stopping(self, why: str) -> None:
        """Report that no more frames are accepted."""
        self._notifier.stopping(why)

    def probes(self) -> dict[str, Probe]:
        """Return path → probe."""
        return {"/livez": self.livez, "/readyz": self.readyz}

    def livez(self) -> Health:
        """Fail if a thread that the line needs has completed no turn for `[metrics] stalled_after_s`."""
        stalled = self._liveness.stalled()
        lines = [
            f"{name}: last turn {age_s:.1f} s ago{', stalled' if name in stalled else ''}"
            for name, age_s in self._liveness.ages_s().items()
        ]
        return Health(not stalled, "\n".join(lines or ["starting"]))

    def readyz(self) -> Health:
        """Pass while frames are accepted: after warm-up, not during a drain, not while a camera is lost.

        A camera that has not connected yet, or has announced its end, does not count as lost.
        """
        phase, lost = self._phase(), self._cameras_lost()
        text = "\n".join([phase, *(f"camera {camera} is lost" for camera in lost)])
        return Health(phase == "ready" and not lost, text)

    def summary(self) -> str:
        """Return one line for `systemctl status`."""
        counts = self._totals()
        return (
            f"{self._phase()}: {counts.triggers} parts, {counts.faults} faults, "
            f"{counts.open} without a verdict"
        )
