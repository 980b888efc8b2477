"""SIGTERM at a random moment, two hundred times, while parts come: every accepted part has its verdict, exit 0.

Each run starts the real worker with `classic`, feeds it open loop, and sends SIGTERM at a moment drawn from --seed:
mostly while parts run, at times while it still starts. The camera does not know and goes on. Counted from outside:
the verdicts are those of the parts 0 to n without a gap, one each, n reaches at least every part whose frame was sent
half a second before the signal, the ledger holds the same, and so does the worker's own last count.

A signal that comes while the interpreter itself still starts ends it as signals do; such runs are counted apart, and
must not have said or answered anything.

The first --fresh runs start the program as a user does; the others fork it from a process that has its modules loaded.

    python -m tests.system.long_sigterm --json sigterm.json
    python -m tests.system.long_sigterm --times 10 --fresh 2 --json sigterm.json
    python -m tests.system.long_sigterm --only 117          (one run again)
"""

import argparse
import random
import shutil
import signal
import sqlite3
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from cmfm_sim.demo_line import Endpoints
from cmfm_sim.errors import FailedError

from .load.feed import Run
from .load.frames import Parts
from .load.line import CATEGORY, READY_LIMIT_S, LoadedLine, prepare, settings_of
from .load.process import end_in_order_on_sigterm
from .load.report import Report, options, quantiles, say, work_folder

WHILE_STARTING: Final = 0.1
"""Share of the runs whose signal comes before the worker is ready."""

SURELY_ACCEPTED_S: Final = 0.5
"""A frame sent so long before the signal has been received: the wire takes milliseconds."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Plan of one run, drawn from its seed and number."""

    while_starting: bool
    after_s: float
    rate_hz: float
    fresh: bool

    @classmethod
    def draw(cls, settings: argparse.Namespace, number: int) -> "Plan":
        """The same for the same seed and number."""
        rng = random.Random(f"{settings.seed}/{number}")
        starting = rng.random() < WHILE_STARTING
        longest_s = settings.start_s if starting else settings.feed_s
        return cls(
            starting, rng.uniform(0, longest_s), rng.uniform(*settings.rates_hz), number < settings.fresh
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """One run as seen from outside."""

    exit_code: int
    fired: int
    answered: int
    inspected: int
    drain_s: float
    problems: list[str]
    before_it_began: bool = False


def one(folder: Path, parts: Parts, settings: argparse.Namespace, plan: Plan) -> Ended:
    """One start, feed and SIGTERM. Raises FailedError if the worker never got ready."""
    endpoints = Endpoints.free()
    line_toml = settings_of(endpoints, folder / "recipes", size_px=settings.size_px, threads=settings.threads)
    line_toml["kept"] = {"which": "none"}
    place = folder / "sigterm"
    shutil.rmtree(place, ignore_errors=True)
    with LoadedLine(place, parts, line_toml, endpoints, forked=not plan.fresh) as line:
        line.launch()
        if not plan.while_starting:
            line.listen_until(lambda: line.state is not None and line.state.phase == "ready", READY_LIMIT_S)
            line.listen_until(lambda: bool(line.tally.stream_uuid), READY_LIMIT_S)
        run = line.run(Run(plan.rate_hz, 600.0, settings.deadline_ms))
        until_s = time.monotonic() + plan.after_s
        line.listen_until(lambda: time.monotonic() >= until_s, plan.after_s + 60)
        signal_ns, signal_s = time.time_ns(), time.monotonic()
        try:
            exit_code = line.terminate()
        except FailedError:
            if had_begun(line):
                raise
            return Ended(line.worker.returncode or 0, len(line.tally), 0, 0, 0.0, [], before_it_began=True)
        drain_s = time.monotonic() - signal_s
        run.stop.set()
        return seen(line, place / "ledger.sqlite", exit_code, signal_ns, drain_s)


def had_begun(line: LoadedLine) -> bool:
    """True if our code ran when the signal came; before that, the signal just ends the interpreter."""
    ended_by_it = line.worker.returncode == -signal.SIGTERM
    return not ended_by_it or bool(line.worker.output()) or line.state is not None or line.tally.answered > 0


def seen(line: LoadedLine, ledger: Path, exit_code: int, signal_ns: int, drain_s: float) -> Ended:
    """The account of one run, from outside."""
    triggers, counts = line.tally.triggers(), line.tally.counts()
    answered = int(triggers.answered.sum())
    problems = [f"exit code {exit_code}"] if exit_code else []
    if not triggers.answered[:answered].all():
        problems.append(f"the {answered} verdicts are not those of the first {answered} parts")
    early = triggers.sent & (triggers.trigger_ns < signal_ns - SURELY_ACCEPTED_S * 1e9)
    missing = int((early & ~triggers.answered).sum())
    if missing and line.state is not None and line.state.counts["triggers"]:
        problems.append(f"{missing} parts sent {SURELY_ACCEPTED_S} s before the signal have no verdict")
    problems += [f"{what}: {counts[what]}" for what in ("second_verdicts", "unknown") if counts[what]]
    if line.lost:
        problems.append(f"{line.lost} results lost")
    own = line.state.counts["triggers"] if line.state is not None else 0
    received = answered + line.tally.unattributed
    if own != received:
        problems.append(f"the worker counts {own} triggers, {received} verdicts were received")
    if (rows := rows_of(ledger)) != received:
        problems.append(f"the ledger holds {rows} rows, {received} verdicts were received")
    inspected = int(triggers.inspected.sum())
    return Ended(exit_code, len(triggers.sent), answered, inspected, drain_s, problems)


def rows_of(ledger: Path) -> int:
    """Number of rows of a ledger, 0 for a missing file."""
    if not ledger.is_file():
        return 0
    with closing(sqlite3.connect(ledger)) as connection:
        return int(connection.execute("SELECT count(*) FROM triggers").fetchone()[0])


def repeat(folder: Path, settings: argparse.Namespace, report: Report) -> int:
    """All runs. Returns the exit code."""
    parts = prepare(folder, size_px=settings.size_px, recipes={CATEGORY: 0})
    numbers = range(settings.times) if settings.only is None else [settings.only]
    problems: list[str] = []
    ended: list[Ended] = []
    for number in numbers:
        plan = Plan.draw(settings, number)
        try:
            ended.append(one(folder, parts, settings, plan))
            found = ended[-1].problems
        except FailedError as error:
            found = [str(error)]
        problems += [f"run {number} (seed {settings.seed}): {what}" for what in found]
        report.write(**figures(ended), problems=problems, runs=number + 1)
        if found or number % 10 == 9:
            say(f"run {number}: {plan} {ended[-1] if ended else ''} {found}")
    return report.finish(problems, **figures(ended))


def figures(ended: list[Ended]) -> dict[str, Any]:
    """The runs in numbers."""
    return {
        "exit_0": sum(run.exit_code == 0 for run in ended),
        "before_it_began": sum(run.before_it_began for run in ended),
        "fired": sum(run.fired for run in ended),
        "answered": sum(run.answered for run in ended),
        "inspected": sum(run.inspected for run in ended),
        "runs_without_a_part": sum(run.answered == 0 for run in ended),
        "drain_s": quantiles(np.array([run.drain_s for run in ended])),
    }


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = options(__doc__)
    parser.set_defaults(size_px=160)
    parser.add_argument("--times", type=int, default=200)
    parser.add_argument("--fresh", type=int, default=24, help="of these the first start the program itself")
    parser.add_argument("--only", type=int, help="run this one alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--start-s", type=float, default=2.0, help="latest signal while it starts")
    parser.add_argument("--feed-s", type=float, default=1.5, help="latest signal while parts run")
    parser.add_argument(
        "--rates-hz", type=float, nargs=2, default=[5.0, 60.0], help="slowest and fastest feed"
    )
    parser.add_argument("--deadline-ms", type=float, default=20_000.0, help="deadline of each part")
    settings = parser.parse_args(arguments)
    report = Report("sigterm", settings)
    with work_folder(settings.work) as folder:
        return repeat(folder, settings, report)


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
