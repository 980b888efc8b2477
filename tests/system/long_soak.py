"""A soak: the real worker with `classic` at 80 % of what it can do, for two hours.

Measures what the line can do (closed loop), then feeds open loop at 80 % of it. Met if the worker's memory grows
by less than 1 MB/h after the first ten minutes, p99 latency drifts by less than 5 % from the first window to the last,
and every trigger has exactly one verdict, counted from outside.

So close to its limit a line shows whatever the machine does: a hypervisor that takes a tenth of a second away makes a
backlog, and a processor that runs slower for a while makes every part late. So the drift that is judged is that of
quiet windows, in which all other programs and the hypervisor together took less than `--quiet-cores`, with p99 in
units of a fixed piece of work that is done beside it (`machine_ms`). Beside it stand the plain p99 of all windows, its
drift (`p99_drift_all`), and that of what a part costs the worker in those units (`cost_drift`), which no waiting
touches.

    python -m tests.system.long_soak --json soak.json
    python -m tests.system.long_soak --minutes 15 --settle-min 5 --window-min 2 --json soak.json
"""

import argparse
import shutil
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
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
from .load.trend import Drift, Slope


class Soak:
    """Samples taken while the feed runs, and their figures."""

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
        """Figures of the time after settling so far."""
        settle_s = self._settings.settle_min * 60
        settled = [(at_s, footprint) for at_s, footprint in self._samples if at_s >= settle_s]
        hours = np.array([at_s / 3600 for at_s, _ in settled])
        slopes = {
            name: Slope.of(hours, np.array([getattr(footprint, name) for _, footprint in settled]))
            for name in ("rss_mib", "anonymous_mib", "threads", "files")
        }
        steady, quiet = self._steady(), self._quiet()
        return {
            "slope_per_h": {name: asdict(slope) if slope else None for name, slope in slopes.items()},
            **{name: asdict(found) if found else None for name, found in self._drifts().items()},
            "windows_quiet": [len(quiet), len(steady)],
            "p99_quiet_ms": [window["latency_ms"]["p99"] for window in quiet],
            "p99_windows_ms": [window["latency_ms"]["p99"] for window in steady],
            "machine_windows_ms": [window["machine_ms"] for window in steady],
        }

    def problems(self) -> list[str]:
        """Figures that are not met."""
        settings, drifts = self._settings, self._drifts()
        rss, p99 = self.figures()["slope_per_h"]["rss_mib"], drifts["p99_drift"]
        if rss is None or drifts["p99_drift_all"] is None:
            return ["too short: no two windows after settling"]
        found = []
        if rss["value"] >= settings.rss_mib_h:
            found.append(f"memory grows by {rss['value']:.2f} ± {2 * rss['error']:.2f} MiB/h")
        quiet, windows = len(self._quiet()), len(self._steady())
        if p99 is None or quiet < settings.quiet_share * windows:
            found.append(f"p99 cannot be judged: the machine was quiet in {quiet} windows of {windows}")
        elif abs(p99.value) >= settings.p99_drift:
            found.append(f"p99 drifted by {p99}, what a part costs by {drifts['cost_drift']}")
        return found

    def _steady(self) -> list[dict[str, Any]]:
        """The windows after settling."""
        return [w for w in self._windows if w["from_min"] >= self._settings.settle_min and w["latency_ms"]]

    def _quiet(self) -> list[dict[str, Any]]:
        """Windows after settling in which other programs left the machine alone."""
        return [window for window in self._steady() if window["quiet"]]

    def _drifts(self) -> dict[str, Drift | None]:
        steady, quiet = self._steady(), self._quiet()
        return {
            "p99_drift": drift(quiet, lambda window: window["latency_ms"]["p99"] / window["machine_ms"]),
            "p99_drift_all": drift(steady, lambda window: window["latency_ms"]["p99"]),
            "machine_drift": drift(steady, lambda window: window["machine_ms"]),
            "cost_drift": drift(steady, lambda window: window["cpu_ms_a_part"] / window["machine_ms"]),
        }

    def write(self) -> None:
        """Write the figures so far into the report."""
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
        fired, self._window_first = end - self._window_first, end
        window = window_figures(triggers)
        window["from_min"] = end_s / 60 - settings.window_min
        cores = self._cpu.shares()
        window["cores"] = {name: round(share, 3) for name, share in cores.items()}
        window["quiet"] = cores["others"] + cores["stolen"] < settings.quiet_cores
        window["cpu_ms_a_part"] = cores["worker"] * settings.window_min * 60_000 / max(fired, 1)
        window["machine_ms"] = round(float(np.median(self._machine_ms or [self._reference.cpu_ms()])), 3)
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


def drift(windows: Sequence[Mapping[str, Any]], figure: Callable[[Mapping[str, Any]], float]) -> Drift | None:
    """Of a figure of windows."""
    times = [window["from_min"] for window in windows]
    return Drift.of(np.array(times), np.array([figure(window) for window in windows]))


def soak(folder: Path, settings: argparse.Namespace, report: Report, stopped: threading.Event) -> int:
    """Carry out the whole run. Returns the exit code. Raises FailedError if the line fails."""
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
    parser.add_argument(
        "--quiet-cores", type=float, default=0.02, help="a window is quiet below so much of others"
    )
    parser.add_argument("--quiet-share", type=float, default=0.25, help="so many windows have to be quiet")
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
