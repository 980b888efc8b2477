"""Camera, worker and subscriber killed (-9) and stopped (SIGSTOP) in turn, each every 30 s, for half an hour.

Met if each trigger has at most one verdict and lacks one only if no worker can have heard of it, each part that cannot
have been inspected has a FAULT, and each dead peer was reported within 1 s.

    python -m tests.system.long_kills --json kills.json
    python -m tests.system.long_kills --minutes 3 --preset stub --rate-hz 50 --json kills.json
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from cmfm_sim.chaos.line import LineOptions
from cmfm_sim.chaos.parts import ensure_parts
from cmfm_sim.chaos.peers import Report as Death
from cmfm_sim.chaos.plan import ChaosPlan
from cmfm_sim.chaos.play import play
from cmfm_sim.chaos.report import report_map
from cmfm_sim.errors import FailedError
from cmfm_sim.stopping import stop_on_signals

from .load.memory import MemoryLog
from .load.report import Report, quantiles, say, work_folder
from .tiny_parts import CATEGORY, stub_line, taught_settings, write_tiny_parts

Stopped = Callable[[], bool]


def line_of(folder: Path, settings: argparse.Namespace, limit: int) -> LineOptions:
    """The line with `classic` on small synthetic parts, or with the stub on tiny ones."""
    taught = taught_settings(folder)
    if settings.preset == "stub":
        return stub_line(
            write_tiny_parts(folder / "tiny"),
            taught,
            rate_hz=settings.rate_hz,
            limit=limit,
            deadline_ms=settings.deadline_ms,
            proxied=False,
        )
    root = ensure_parts(folder, CATEGORY, lambda: False)[0]
    return LineOptions(
        root.absolute(),
        CATEGORY,
        settings.rate_hz,
        settings.deadline_ms,
        limit,
        settings=taught,
        proxied=False,
    )


def kills(folder: Path, settings: argparse.Namespace, report: Report, stopped: Stopped) -> int:
    """Carry out the whole run. Returns the exit code. Raises FailedError if the line fails."""
    say("parts and a recipe")
    seconds = settings.minutes * 60
    plan = ChaosPlan.in_turn(settings.seed, seconds, every_s=settings.every_s)
    options = line_of(folder, settings, int(seconds * settings.rate_hz * 2))
    memory = MemoryLog()
    result = play(plan, options, folder / "run", on_step=say, sample=memory.sample, stopped=stopped)
    figures = report_map(result)
    return report.finish(
        figures.pop("problems"),
        **figures,
        dead_peer_ms_by_kind=by_kind(result.deaths),
        memory_mib=memory.figures(),
    )


def by_kind(deaths: tuple[Death, ...]) -> dict[str, Any]:
    """Number of deaths of each kind that could be reported, and percentiles of the time until they were."""
    found = {}
    for kind in sorted({death.kind for death in deaths}):
        times = [death.after_ms for death in deaths if death.kind is kind]
        told = np.array([after_ms for after_ms in times if after_ms is not None])
        found[str(kind)] = {"deaths": len(times), "reported": len(told), "after_ms": quantiles(told)}
    return found


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep records, ledger and logs there")
    parser.add_argument("--minutes", type=float, default=30.0, help="length (default: %(default)s)")
    parser.add_argument("--every-s", type=float, default=30.0, help="each process (default: %(default)s)")
    parser.add_argument("--preset", choices=("classic", "stub"), default="classic", help="what inspects")
    parser.add_argument(
        "--rate-hz", type=float, default=10.0, help="triggers a second (default: %(default)s)"
    )
    parser.add_argument(
        "--deadline-ms", type=float, default=1000.0, help="of each part (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the plan (default: %(default)s)")
    settings = parser.parse_args()
    report = Report("kills", settings)
    with stop_on_signals() as stop, work_folder(settings.work) as folder:
        try:
            return kills(folder, settings, report, stop.is_set)
        except FailedError as error:
            return report.finish([str(error)])


if __name__ == "__main__":
    sys.exit(main())
