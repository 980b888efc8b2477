"""What the outside learns of the line's life: probes, systemd's messages, and the collector kept short meanwhile.

Everything here is driven by the threads that it reports on: the loop says when it has completed a turn, and probes
read what the threads have completed. Nothing says "alive" by itself.
"""

from collections.abc import Callable

import structlog

from cmfm_protocol.wire.state import WorkerPhase
from cmfm_worker.line.health.gc_control import GcControl
from cmfm_worker.line.health.http import Health, Probe
from cmfm_worker.line.health.liveness import LivenessMonitor
from cmfm_worker.line.health.systemd import Supervisor
from cmfm_worker.line.health.totals import Totals


class HealthReporter:
    """The signs of life of one service."""

    def __init__(
        self,
        *,
        totals: Callable[[], Totals],
        phase: Callable[[], WorkerPhase],
        progress: LivenessMonitor,
        supervisor: Supervisor,
        garbage: GcControl,
    ) -> None:
        self._totals = totals
        self._phase = phase
        self._progress = progress
        self._supervisor = supervisor
        self._garbage = garbage

    def begin(self, hang_limit_s: float) -> None:
        """The start is under way."""
        self._garbage.watch()
        self._supervisor.status("starting: loading recipes and warming up")
        watchdog_s = self._supervisor.watchdog_s
        if watchdog_s is not None and watchdog_s <= hang_limit_s:
            structlog.get_logger("supervisor").warning(
                "watchdog_too_short",
                detail="it ends the process before the hang limit does, and parts get no FAULT: raise WatchdogSec",
                watchdog_s=watchdog_s,
                hang_limit_s=hang_limit_s,
            )

    def ready(self) -> None:
        """Warm-up is over and frames are taken, or recipes have been loaded again."""
        self._supervisor.ready(self.summary())

    def turned(self, *, idle: bool) -> None:
        """The loop has completed a turn, in which nothing was left to do if `idle`."""
        self._supervisor.turned(self.summary)
        if idle:
            self._garbage.tidy()

    def stopping(self, why: str) -> None:
        """No more frames are taken."""
        self._supervisor.stopping(why)

    def end(self) -> None:
        """All is over."""
        self._supervisor.close()
        self._garbage.restore()

    def probes(self) -> dict[str, Probe]:
        """Path → probe."""
        return {"/livez": self.livez, "/readyz": self.readyz}

    def livez(self) -> Health:
        """Fails where a thread that the line needs has completed nothing for `[metrics] stalled_after_s`."""
        stalled = self._progress.stalled()
        lines = [
            f"{name}: last round {age_s:.1f} s ago{', stalled' if name in stalled else ''}"
            for name, age_s in self._progress.ages_s().items()
        ]
        return Health(not stalled, "\n".join(lines or ["starting"]))

    def readyz(self) -> Health:
        """Passes while frames are taken: after warm-up, and not in a drain."""
        phase = self._phase()
        return Health(phase == "ready", phase)

    def summary(self) -> str:
        """One line for `systemctl status`."""
        counts = self._totals()
        return (
            f"{self._phase()}: {counts.triggers} parts, {counts.faults} faults, "
            f"{counts.open} without a verdict"
        )
