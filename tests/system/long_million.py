"""A million parts with damaged, lost, doubled and reordered frames through real sockets and processes.

A camera process, the worker (its inspection replaced by `stub_worker`, everything else its own) and a recording
subscriber. Met if the identity is exact: each trigger has one verdict in the ledger and the same one in the
subscriber's record, and each part that cannot have been inspected has a FAULT.

    python -m tests.system.long_million --json million.json
    python -m tests.system.long_million --parts 20000 --json million.json
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cmfm_sim.chaos.plan import ChaosPlan
from cmfm_sim.chaos.play import play
from cmfm_sim.chaos.report import report_map
from cmfm_sim.errors import FailedError
from cmfm_sim.stopping import stop_on_signals

from .load.memory import MemoryLog
from .load.report import Report, say, work_folder
from .tiny_parts import stub_line, taught_settings, write_tiny_parts

FAULTS: Final = (
    "drop=0.01,duplicate=0.01,reorder=0.01,corrupt=0.01,truncate=0.01,oversize=0.01,wrong=0.01,garbage=0.01,"
    "version=0.005,clock=0.005,late=0.0005:3s,stall=0.00002:0.5s"
)
DAYS_S: Final = 1e6

Stopped = Callable[[], bool]


def million(folder: Path, settings: argparse.Namespace, report: Report, stopped: Stopped) -> int:
    """Carry out the whole run. Returns the exit code. Raises FailedError if the line fails."""
    say("parts and a recipe")
    options = stub_line(
        write_tiny_parts(folder / "tiny"),
        taught_settings(folder),
        rate_hz=settings.rate_hz,
        limit=settings.parts,
        deadline_ms=settings.deadline_ms,
        proxied=False,
        disk_mb=None,  # the ledger takes half a gigabyte
        # As fast as this machine can, and no faster: parts that are only late would show little.
        camera=("--max-lag-s", "0.1", "--send-limit-ms", "1000"),
    )
    plan = ChaosPlan(settings.seed, DAYS_S, (), settings.faults)
    memory = MemoryLog()
    say(f"{settings.parts} parts at {settings.rate_hz:g}/s")
    result = play(
        plan,
        options,
        folder / "run",
        ends_with_camera=True,
        on_step=say,
        sample=memory.sample,
        stopped=stopped,
    )
    figures = report_map(result)
    problems = figures.pop("problems")
    if figures["triggers"] != settings.parts:
        problems.append(f"{figures['triggers']} triggers instead of {settings.parts}")
    return report.finish(
        problems, **figures, memory_mib=memory.figures(), parts_per_second=settings.parts / figures["seconds"]
    )


def main() -> int:
    """The program."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    parser.add_argument("--work", type=Path, metavar="DIR", help="keep records, ledger and logs there")
    parser.add_argument("--parts", type=int, default=1_000_000, help="triggers (default: %(default)s)")
    parser.add_argument(
        "--rate-hz", type=float, default=1000.0, help="triggers a second at most (default: %(default)s)"
    )
    parser.add_argument(
        "--deadline-ms", type=float, default=2000.0, help="of each part (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the frame faults (default: %(default)s)")
    parser.add_argument("--faults", default=FAULTS, help="as in `cmfm-sim replay` (default: %(default)s)")
    settings = parser.parse_args()
    report = Report("million", settings)
    with stop_on_signals() as stop, work_folder(settings.work) as folder:
        try:
            return million(folder, settings, report, stop.is_set)
        except FailedError as error:
            return report.finish([str(error)])


if __name__ == "__main__":
    sys.exit(main())
