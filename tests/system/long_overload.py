"""Overload: 110, 150 and 200 % of what the line can do, open loop.

Met if at each load every trigger has its verdict at the subscriber by its deadline plus 5 ms, and exactly one.
Lateness (arrival of the verdict minus deadline; negative is early) is stated as p50, p99, p99.9 and max, and with it
the share of parts that was inspected; `given` is the same by the worker's own stamp, which tells its lateness from that
of the subscriber's process. Deadlines run from the scheduled trigger: a camera held back excuses no late verdict.

    python -m tests.system.long_overload --json overload.json
    python -m tests.system.long_overload --seconds 20 --loads 1.5 --json overload.json
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from cmfm_sim.demo_line import Endpoints
from cmfm_sim.errors import FailedError

from .load.feed import Run
from .load.line import CATEGORY, LoadedLine, prepare, settings_of
from .load.process import end_in_order_on_sigterm
from .load.report import Report, options, quantiles, say, work_folder
from .load.tally import Triggers


def figures(triggers: Triggers, grace_ms: float) -> dict[str, Any]:
    """Figures of the triggers of one load."""
    answered, lateness_ms = triggers.answered, triggers.lateness_ms
    late = answered & (lateness_ms > grace_ms)
    count = len(answered)
    return {
        "triggers": count,
        "not_sent_by_camera": int((~triggers.sent).sum()),
        "without_verdict": int((~answered).sum()),
        "late": int(late.sum()),
        "late_of_sent": int((late & triggers.sent).sum()),
        "in_time": float((answered & ~late).sum() / count) if count else None,
        "inspected": float(triggers.inspected.sum() / count) if count else None,
        "lateness_ms": quantiles(lateness_ms[answered]),
        "given_lateness_ms": quantiles(triggers.given_lateness_ms[answered]),
        "lateness_of_faults_ms": quantiles(lateness_ms[answered & ~triggers.inspected]),
        "latency_of_inspected_ms": quantiles(triggers.latency_ms[triggers.inspected]),
    }


def problems_of(load: float, found: dict[str, Any]) -> list[str]:
    """Parts of the contract that one load broke."""
    problems = []
    if found["without_verdict"]:
        problems.append(f"{load:.0%}: {found['without_verdict']} triggers without a verdict")
    if found["late"]:
        problems.append(
            f"{load:.0%}: {found['late']} of {found['triggers']} verdicts came too late, "
            f"p99.9 {found['lateness_ms']['p99.9']:+.1f} ms, the worst {found['lateness_ms']['max']:+.1f} ms"
        )
    return problems


def overload(line: LoadedLine, settings: argparse.Namespace, report: Report) -> list[str]:
    """Feed each load in turn. Returns what was not met. Raises FailedError if the line fails."""
    capacity = settings.capacity_hz or line.capacity(settings.capacity_s)
    say(f"capacity {capacity:.2f} parts/s")
    report.write(capacity_hz=round(capacity, 3))
    loads: dict[str, Any] = {}
    problems = []
    for load in settings.loads:
        run = line.run(Run(load * capacity, settings.seconds, settings.deadline_ms))
        line.finish(run, settings.seconds + 60)
        found = figures(line.tally.triggers().between(run.first, run.end), settings.grace_ms)
        found |= {"rate_hz": round(load * capacity, 3), "camera_lateness_ms": round(run.lateness_ms, 2)}
        loads[f"{load:.0%}"] = found
        problems += problems_of(load, found)
        report.write(loads=loads, counts=line.tally.counts())
        say(f"{load:.0%}: {found}")
    return problems


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = options(__doc__)
    parser.add_argument(
        "--loads", type=float, nargs="+", default=[1.1, 1.5, 2.0], help="shares of the capacity"
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="length of each load")
    parser.add_argument("--capacity-s", type=float, default=30.0, help="how long capacity is measured")
    parser.add_argument("--capacity-hz", type=float, default=0.0, help="take this for the capacity instead")
    parser.add_argument("--deadline-ms", type=float, default=500.0, help="deadline of each part")
    parser.add_argument(
        "--grace-ms", type=float, default=5.0, help="from the deadline to the verdict on the wire"
    )
    parser.add_argument("--forked", action="store_true", help="start the worker without its start-up")
    settings = parser.parse_args(arguments)
    report = Report("overload", settings)
    with work_folder(settings.work) as folder:
        try:
            return measure(folder, settings, report)
        except FailedError as error:
            return report.finish([str(error)])


def measure(folder: Path, settings: argparse.Namespace, report: Report) -> int:
    """Carry out the whole run. Returns the exit code. Raises FailedError if the line fails."""
    parts = prepare(folder, size_px=settings.size_px, recipes={CATEGORY: 0})
    endpoints = Endpoints.free()
    line_toml = settings_of(endpoints, folder / "recipes", size_px=settings.size_px, threads=settings.threads)
    shutil.rmtree(folder / "overload", ignore_errors=True)
    with LoadedLine(folder / "overload", parts, line_toml, endpoints, forked=settings.forked) as line:
        line.start()
        problems = overload(line, settings, report)
        exit_code = line.drain()
        if exit_code:
            problems.append(f"the worker ended with {exit_code}")
        return report.finish(problems + line.problems(), counts=line.tally.counts(), worker_exit=exit_code)


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
