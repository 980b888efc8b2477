"""A soak: the real worker with `classic` at 80 % of what it can do, for two hours.

Measures what the line can do (closed loop), then feeds open loop at 80 % of it. Met, when the worker's memory grows
by less than 1 MB/h after the first ten minutes, p99 latency of the windows drifts by less than 5 % (a robust straight
line through them, from the first to the last), and every trigger has exactly one verdict, counted from outside. Beside
each window stands what a fixed piece of work cost just then (`machine_ms`): where that drifts as well, it is the
machine that has changed.

    python -m tests.system.long_soak --json soak.json
    python -m tests.system.long_soak --minutes 15 --settle-min 5 --window-min 2 --json soak.json
"""

import argparse
import shutil
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from cmfm_sim.demo_line import Endpoints
from cmfm_sim.errors import FailedError
from cmfm_sim.stopping import stop_on_signals

from .load.feed import Run
from .load.line import CATEGORY, LoadedLine, prepare, settings_of
from .load.process import CpuShares, Footprint
from .load.reference import Reference
from .load.report import Report, options, quantiles, say, work_folder
from .load.tally import Triggers
from .load.trend import Slope, change


class Soak:
    """What is sampled while the feed runs, and the figures made of it."""

    def __init__(self, line: LoadedLine, report: Report, settings: argparse.Namespace) -> None:
        self._line = line
        self._report = report
        self._settings = settings
        self._cpu = CpuShares(line.worker.pid)
        self._samples: list[tuple[float, Footprint]] = []
        self._windows: list[dict[str, Any]] = []
        self._window_first = 0
        self._reference = Reference()
        self._machine_ms: list[float] = []

    def feed(self, rate_hz: float, stopped: threading.Event) -> Run:
        """Feed for the whole time, sampling. Ends early where `stopped`."""
        settings, line = self._settings, self._line
        run = line.run(Run(rate_hz, settings.minutes * 60, settings.deadline_ms))
        self._window_first = len(line.tally)
        started_s = time.monotonic()
        sample_s, window_s = settings.sample_s, settings.window_min * 60
        next_sample_s, next_window_s = 0.0, window_s
        while not run.ended.is_set():
            line.listen()
            now_s = time.monotonic() - started_s
            if now_s >= next_sample_s:
                self._samples.append((now_s, Footprint.of(line.worker.pid)))
                self._machine_ms.append(self._reference.cpu_ms())
                next_sample_s += sample_s
            if now_s >= next_window_s:
                self._end_window(next_window_s)
                next_window_s += window_s
            if stopped.is_set():
                run.stop.set()
        line.settle()
        return run

    def figures(self) -> dict[str, Any]:
        """The figures of the time after settling, as far as it has come."""
        settle_s = self._settings.settle_min * 60
        settled = [(at_s, footprint) for at_s, footprint in self._samples if at_s >= settle_s]
        hours = np.array([at_s / 3600 for at_s, _ in settled])
        slopes = {
            name: Slope.of(hours, np.array([getattr(footprint, name) for _, footprint in settled]))
            for name in ("rss_mib", "anonymous_mib", "threads", "files")
        }
        steady = [w for w in self._windows if w["from_min"] >= self._settings.settle_min and w["latency_ms"]]
        p99 = [window["latency_ms"]["p99"] for window in steady]
        machine = [window["machine_ms"] for window in steady if window["machine_ms"] is not None]
        return {
            "slope_per_h": {name: asdict(slope) if slope else None for name, slope in slopes.items()},
            "p99_drift": change(np.array(p99)),
            "p99_last_over_first": p99[-1] / p99[0] - 1 if len(p99) > 1 else None,
            "p99_windows_ms": p99,
            "machine_drift": change(np.array(machine)),
            "machine_windows_ms": machine,
        }

    def problems(self) -> list[str]:
        """Which figure is not met."""
        settings, figures = self._settings, self.figures()
        rss, drift, machine = (
            figures["slope_per_h"]["rss_mib"],
            figures["p99_drift"],
            figures["machine_drift"],
        )
        if rss is None or drift is None:
            return ["too short: no two windows after settling"]
        found = []
        if rss["value"] >= settings.rss_mib_h:
            found.append(f"memory grows by {rss['value']:.2f} ± {2 * rss['error']:.2f} MiB/h")
        if abs(drift) >= settings.p99_drift:
            beside = "" if machine is None else f", a fixed piece of work by {machine:+.1%}"
            found.append(f"p99 drifted by {drift:+.1%}{beside}")
        return found

    def write(self) -> None:
        """What is known so far, into the report."""
        samples = [[round(at_s, 1), *asdict(footprint).values()] for at_s, footprint in self._samples]
        columns = ["seconds", *Footprint.__slots__]
        self._report.write(
            **self.figures(),
            counts=self._line.tally.counts(),
            windows=self._windows,
            samples={"columns": columns, "rows": samples},
        )

    def _end_window(self, end_s: float) -> None:
        """Figures of the triggers whose verdicts can have come: those fired until a deadline ago."""
        tally, settings = self._line.tally, self._settings
        end = len(tally) - tally.open
        triggers = tally.triggers().between(self._window_first, end)
        self._window_first = end
        window = window_figures(triggers)
        window["from_min"] = end_s / 60 - settings.window_min
        window["cores"] = {name: round(cores, 3) for name, cores in self._cpu.shares().items()}
        window["machine_ms"] = round(float(np.median(self._machine_ms)), 3) if self._machine_ms else None
        self._machine_ms = []
        window["footprint"] = asdict(self._samples[-1][1]) if self._samples else None
        self._windows.append(window)
        self.write()
        rss = f"{self._samples[-1][1].rss_mib:.1f} MiB" if self._samples else "-"
        say(
            f"{end_s / 60:.1f} min: {len(tally)} triggers, {window['faults']} FAULTs, latency "
            f"{window['latency_ms']}, RSS {rss}, machine {window['machine_ms']} ms, cores {window['cores']}"
        )


def window_figures(triggers: Triggers) -> dict[str, Any]:
    """Latency of what was inspected, from scheduled trigger to the subscriber."""
    inspected = triggers.inspected
    return {
        "triggers": len(inspected),
        "faults": int((triggers.answered & ~inspected).sum()),
        "latency_ms": quantiles(triggers.latency_ms[inspected]),
    }


def soak(folder: Path, settings: argparse.Namespace, report: Report, stopped: threading.Event) -> int:
    """The whole run. Returns the exit code. Raises FailedError where the line fails."""
    say("parts and recipe")
    parts = prepare(folder, size_px=settings.size_px, recipes={CATEGORY: 0})
    endpoints = Endpoints.free()
    line_toml = settings_of(endpoints, folder / "recipes", size_px=settings.size_px, threads=settings.threads)
    run_folder = folder / "soak"
    shutil.rmtree(run_folder, ignore_errors=True)
    with LoadedLine(run_folder, parts, line_toml, endpoints, forked=settings.forked) as line:
        line.start()
        rate_hz = settings.rate_hz
        if not rate_hz:
            capacity = line.capacity(settings.capacity_s)
            rate_hz = settings.load * capacity
            report.write(capacity_hz=round(capacity, 3))
            say(f"capacity {capacity:.2f} parts/s")
        report.write(rate_hz=round(rate_hz, 3))
        say(f"feeding {rate_hz:.2f} parts/s for {settings.minutes:g} min")
        measured = Soak(line, report, settings)
        run = measured.feed(rate_hz, stopped)
        measured.write()
        exit_code = line.drain()
        problems = line.problems() + measured.problems()
        if exit_code:
            problems.append(f"the worker ended with {exit_code}")
        if stopped.is_set():
            problems.append("stopped before its time")
        return report.finish(
            problems,
            counts=line.tally.counts(),
            camera_lateness_ms=round(run.lateness_ms, 2),
            worker_exit=exit_code,
        )


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = options(__doc__)
    parser.add_argument("--minutes", type=float, default=120.0, help="length of the feed")
    parser.add_argument("--settle-min", type=float, default=10.0, help="left out of the figures")
    parser.add_argument("--window-min", type=float, default=1.0, help="length of a latency window")
    parser.add_argument("--sample-s", type=float, default=5.0, help="period of the memory samples")
    parser.add_argument("--load", type=float, default=0.8, help="share of the measured capacity")
    parser.add_argument("--rate-hz", type=float, default=0.0, help="feed so many parts a second instead")
    parser.add_argument("--capacity-s", type=float, default=60.0, help="how long capacity is measured")
    parser.add_argument("--deadline-ms", type=float, default=1000.0, help="deadline of each part")
    parser.add_argument("--rss-mib-h", type=float, default=1.0, help="memory may grow by less than this")
    parser.add_argument("--p99-drift", type=float, default=0.05, help="p99 may drift by less than this share")
    parser.add_argument("--forked", action="store_true", help="start the worker without its start-up")
    settings = parser.parse_args(arguments)
    report = Report("soak", settings)
    with work_folder(settings.work) as folder, stop_on_signals() as stopped:
        try:
            return soak(folder, settings, report, stopped)
        except FailedError as error:
            return report.finish([str(error)])


if __name__ == "__main__":
    sys.exit(main())
