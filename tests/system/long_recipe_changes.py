"""A hundred recipe changes under load: new versions loaded over the control socket, and change-overs of the feed.

Met if no trigger is without its one verdict, every verdict was made by one model that was in use when its part came
(each part's score under each model is one number, to the last bit), and p99 latency rises by no more than one frame
period against the same feed without changes, run before and after.

    python -m tests.system.long_recipe_changes --json changes.json
    python -m tests.system.long_recipe_changes --changes 10 --json changes.json
"""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any, Final

import numpy as np

from cmfm_protocol.wire.verdict import Verdict
from cmfm_sim.demo_line import Endpoints
from cmfm_sim.errors import FailedError
from cmfm_worker.recipes.recipe import load_recipe

from .load.changes import Changer, Witness
from .load.feed import Run
from .load.line import LoadedLine, prepare, settings_of
from .load.process import end_in_order_on_sigterm
from .load.report import Report, options, quantiles, say, work_folder

NAMES: Final = ("early", "late")
"""Two recipes between which the feed changes over."""

VERSIONS: Final = {"version_a": 0, "version_b": 1, "version_c": 2}
"""Fits of the same parts from different first weights: three models."""


def model_sha(recipe: Path) -> str:
    """The model id under which a worker decides by a recipe."""
    return load_recipe(recipe).model_sha


def feed(
    line: LoadedLine, settings: argparse.Namespace, changer: Changer, rate_hz: float, changes: int
) -> Run:
    """Feed for as long as `changes` take (or would take), with them or without."""
    seconds = settings.changes * settings.every_s + 1
    run = Run(rate_hz, seconds, settings.deadline_ms, recipe_of=lambda _: changer.current)
    thread = changer.start(changes, settings.every_s)
    line.finish(line.run(run), seconds + 120)
    thread.join(60)
    if changer.failure is not None:
        raise FailedError(f"a recipe change failed: {changer.failure}") from changer.failure
    return run


def latency(line: LoadedLine, *runs: Run) -> dict[str, Any]:
    """Latency of what was inspected in these runs, and what was not."""
    triggers = [line.tally.triggers().between(run.first, run.end) for run in runs]
    values = np.concatenate([part.latency_ms[part.inspected] for part in triggers])
    faults = sum(int((part.answered & ~part.inspected).sum()) for part in triggers)
    return {
        "triggers": sum(len(part.sent) for part in triggers),
        "faults": faults,
        "latency_ms": quantiles(values),
    }


def change(line: LoadedLine, settings: argparse.Namespace, changer: Changer, report: Report) -> list[str]:
    """Feed without, with and without changes. Returns what was not met. Raises FailedError if the line fails."""
    rate_hz = settings.rate_hz or settings.load * line.capacity(settings.capacity_s)
    say(f"feeding {rate_hz:.2f} parts/s")
    before = feed(line, settings, changer, rate_hz, 0)
    during = feed(line, settings, changer, rate_hz, settings.changes)
    after = feed(line, settings, changer, rate_hz, 0)
    without, with_changes = latency(line, before, after), latency(line, during)
    report.write(
        rate_hz=round(rate_hz, 3),
        changes={"versions_loaded": len(changer.load_s), "change_overs": changer.change_overs},
        load_s=quantiles(np.array(changer.load_s)),
        without_changes=without,
        with_changes=with_changes,
        frame_period_ms=round(1e3 / rate_hz, 2),
    )
    if without["latency_ms"] is None or with_changes["latency_ms"] is None:
        return ["nothing was inspected"]
    rise_ms = with_changes["latency_ms"]["p99"] - without["latency_ms"]["p99"]
    report.write(p99_rise_ms=round(rise_ms, 2))
    say(f"p99 rises by {rise_ms:.1f} ms; a frame period is {1e3 / rate_hz:.1f} ms")
    if rise_ms > settings.rise_periods * 1e3 / rate_hz:
        return [f"p99 rises by {rise_ms:.1f} ms; a frame period is {1e3 / rate_hz:.1f} ms"]
    return []


def measure(folder: Path, settings: argparse.Namespace, report: Report) -> int:
    """Carry out the whole run. Returns the exit code. Raises FailedError if the line fails."""
    parts = prepare(folder, size_px=settings.size_px, recipes=VERSIONS)
    versions = [(folder / "recipes" / name, model_sha(folder / "recipes" / name)) for name in VERSIONS]
    place = folder / "changes"
    shutil.rmtree(place, ignore_errors=True)
    (place / "recipes").mkdir(parents=True)
    endpoints, witness = Endpoints.free(), Witness()
    line_toml = settings_of(endpoints, place / "recipes", size_px=settings.size_px, threads=settings.threads)
    line_toml["recipes"]["default"] = NAMES[0]
    changer = Changer(endpoints.control, place / "recipes", NAMES, versions)
    with LoadedLine(
        place, parts, line_toml, endpoints, forked=settings.forked, on_result=witness.take
    ) as line:
        line.start()
        problems = change(line, settings, changer, report)
        exit_code = line.drain()
        if exit_code:
            problems.append(f"the worker ended with {exit_code}")
        problems += line.problems() + witness.problems(changer.loads)
        faults = line.tally.counts()["verdicts"][str(Verdict.FAULT)]
        return report.finish(
            problems,
            counts=line.tally.counts(),
            faults=faults,
            models=len({sha for _, sha in witness.scores}),
            parts_and_models=len(witness.scores),
            worker_exit=exit_code,
        )


def main(arguments: list[str] | None = None) -> int:
    """The program."""
    parser = options(__doc__)
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--every-s", type=float, default=1.0, help="one change every so many seconds")
    parser.add_argument("--load", type=float, default=0.6, help="share of the measured capacity")
    parser.add_argument("--rate-hz", type=float, default=0.0, help="feed so many parts a second instead")
    parser.add_argument("--capacity-s", type=float, default=30.0, help="how long capacity is measured")
    parser.add_argument("--deadline-ms", type=float, default=5000.0, help="deadline of each part")
    parser.add_argument(
        "--rise-periods", type=float, default=1.0, help="p99 may rise by so many frame periods"
    )
    parser.add_argument("--forked", action="store_true", help="start the worker without its start-up")
    settings = parser.parse_args(arguments)
    report = Report("recipe changes", settings)
    with work_folder(settings.work) as folder:
        try:
            return measure(folder, settings, report)
        except FailedError as error:
            return report.finish([str(error)])


if __name__ == "__main__":
    end_in_order_on_sigterm()
    sys.exit(main())
