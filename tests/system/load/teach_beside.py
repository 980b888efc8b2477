"""Measures teaching beside a running line: seconds from 50 collected parts to a recipe in use, and the line's latency.

    python -m tests.system.load.teach_beside --folder /tmp/somewhere --rate 5

One process of each kind, as in use: `cmfm-worker` with a `lite` recipe on 400 × 400 pixels, `cmfm-sim replay`,
`cmfm-worker collect`, `cmfm-worker teach --from-collected --use`. Prints the latency before and during, and what the
rest of the machine took meanwhile: figures from a machine that others use are no figures.
"""

import argparse
import json
import resource
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.system.conftest import Line

from cmfm_sim.datasets.write import write_dataset
from cmfm_sim.demo_line import Endpoints
from cmfm_sim.processes import Child, Children, program

from .process import CpuShares

PARTS: Final = 50
DISTINCT: Final = 60
SIZE_PX: Final = 400
LIMIT_S: Final = 1800.0


def main() -> None:
    """Measure once and print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--rate", type=float, default=5.0, help="parts a second")
    parser.add_argument("--quiet-s", type=float, default=30.0, help="seconds of the line alone")
    parser.add_argument("--pause-s", type=float, default=0.0, help="stop and continue the teaching so often")
    chosen = parser.parse_args()
    folder: Path = chosen.folder
    root = prepare(folder)
    run = folder / f"run-{time.strftime('%H%M%S')}"
    run.mkdir(parents=True)
    shutil.copytree(folder / "recipes", run / "recipes")
    with Children(run / "logs") as children:
        line = Line(run, run / "recipes", Endpoints.free(), children)
        try:
            print(json.dumps(measure(line, root, chosen.rate, chosen.quiet_s, chosen.pause_s), indent=1))
        finally:
            line.subscriber.close()


def prepare(folder: Path) -> Path:
    """Make the data set, and a recipe for the line; returns the data set."""
    root = folder / "dataset"
    if not root.is_dir():
        write_dataset(
            root,
            categories=("praline",),
            train=DISTINCT,
            validation=4,
            good=4,
            per_defect=1,
            seed=7,
            size_px=SIZE_PX,
        )
    out = folder / "recipes" / "praline"
    if not out.is_dir():
        fit = [
            *program("cmfm-worker"),
            "fit",
            "--root",
            str(root),
            "--category",
            "praline",
            "--out",
            str(out),
        ]
        fit += ["--shots", "12", "--epochs", "5", "--simulated-defects", "0"]
        with Children(folder / "logs") as children:
            children.start("fit", fit).wait(lambda: False, LIMIT_S)
    return root


def in_turns(line: Line, worker: Child, teaching: Child, pause_s: float) -> tuple[list[float], list[float]]:
    """Stop and continue the teaching in turns until it ends; returns the latencies beside it and without it.

    What the rest of the machine does is the same in both, so that they can be compared on a machine that others use.
    """
    beside, without = list[float](), list[float]()
    while teaching.returncode is None:
        beside += latencies(line, worker, pause_s)
        if teaching.returncode is None:
            teaching.freeze()
            without += latencies(line, worker, pause_s)
            teaching.thaw()
    return beside, without


def measure(line: Line, root: Path, rate: float, quiet_s: float, pause_s: float) -> dict[str, object]:
    """Run the line, collect and teach; returns the figures."""
    worker = line.start(
        recipes={"folder": str(line.folder / "recipes"), "default": "praline"},
        device={"name": "cpu", "threads": 1, "warmup_px": SIZE_PX},
        intake={"repeated": "warn"},
        kept={"which": "none"},
    )
    camera = line.replay(
        root, "--split", "train", "--loop", "1000", "--rate", str(rate), "--deadline-ms", "2000"
    )
    shares = CpuShares(worker.pid)
    listen(line, worker, 5.0)
    before = latencies(line, worker, quiet_s)
    quiet = shares.shares()
    config = ["--config", str(line.folder / "line.toml"), "--product", "cap", "--json"]
    collecting = line.start_child(
        "collect", [*program("cmfm-worker"), "collect", *config, "--count", str(PARTS)]
    )
    line.wait_for(lambda: collecting.returncode is not None, worker, LIMIT_S)
    shares.shares()
    began_s, taken, computed_s = time.monotonic(), len(line.received), cpu_of_ended_s()
    teaching = line.start_child(
        "teach", [*program("cmfm-worker"), "teach", "--from-collected", "--use", *config]
    )
    paused: list[float] = []
    if pause_s:
        during, paused = in_turns(line, worker, teaching, pause_s)
    else:
        line.wait_for(lambda: teaching.returncode is not None, worker, LIMIT_S)
        during = [item.result.latency_us / 1e3 for item in line.received[taken:]]
    in_use_s = time.monotonic() - began_s
    busy = shares.shares()
    camera.terminate()
    line.wait_for(lambda: camera.returncode is not None, worker, 60)
    line.finish(worker)
    return {
        "parts": PARTS,
        "rate_hz": rate,
        "in_use_s": round(in_use_s, 1),
        "teach_cpu_s": round(cpu_of_ended_s() - computed_s, 1),
        "teach_exit_code": teaching.returncode,
        "before": percentiles(before),
        "during": percentiles(during),
        "while_paused": percentiles(paused) if paused else None,
        "cores_before": quiet,
        "cores_during": busy,
    }


def cpu_of_ended_s() -> float:
    """Processor time of the children that have ended: one thread computes, so a quiet core needs about as long."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def listen(line: Line, worker: Child, seconds: float) -> None:
    """Take results for a time."""
    until_s = time.monotonic() + seconds
    line.wait_for(lambda: time.monotonic() >= until_s, worker, seconds + 60)


def latencies(line: Line, worker: Child, seconds: float) -> list[float]:
    """The latencies, in milliseconds, of results that come within a time."""
    taken = len(line.received)
    listen(line, worker, seconds)
    return [item.result.latency_us / 1e3 for item in line.received[taken:]]


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """Number, median, 99th percentile and maximum."""
    ordered = sorted(values)
    at = {q: ordered[min(int(q * len(ordered)), len(ordered) - 1)] for q in (0.5, 0.99)}
    return {"results": len(ordered), "p50_ms": at[0.5], "p99_ms": at[0.99], "max_ms": ordered[-1]}


if __name__ == "__main__":
    main()
