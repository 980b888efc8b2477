"""Cost and speed of the operator's page beside a line: `python -m tests.system.long_page`.

A worker whose inspection takes no time but whose parts have maps gets parts at a rate. Measured, each for a while: the
worker's CPU without a page; then worker and page with no browser, one, 20 and 200, and with slow ones. One line of JSON
each. Chromium, where it is installed, tells the page's weight and when the first picture of each part is on its screen.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from tests.system.conftest import Line
from tests.system.load.process import Footprint, _cpu_s
from tests.system.load.report import machine
from tests.system.page_browser import chromium, screen, start_page
from tests.system.tiny_parts import CATEGORY, taught_settings, write_tiny_parts

from cmfm_sim.demo_line import Endpoints
from cmfm_sim.processes import Child, Children, program

SETTLE_S = 3.0


def main() -> None:
    """Run everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=float, default=5.0, help="parts a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each measurement")
    parser.add_argument("--taught", type=Path, help="folder for a taught recipe, used again if it is there")
    parser.add_argument(
        "--loads", default="0 1 20 200 20+50", help="browsers, + slow ones, of each measurement"
    )
    given = parser.parse_args()
    counts = [load.partition("+") for load in given.loads.split()]
    loads = [(int(quick), int(slow or 0)) for quick, _, slow in counts]
    with tempfile.TemporaryDirectory() as folder:
        measure(Path(folder), given.rate, given.seconds, given.taught, loads)


def measure(
    folder: Path, rate_hz: float, seconds: float, taught: Path | None, loads: Sequence[tuple[int, int]]
) -> None:
    """Start the line and measure."""
    parts = write_tiny_parts(folder / "parts")
    settings = taught_settings(taught or folder / "taught")
    with Children(folder / "logs") as children:
        line = Line(folder, Path(str(settings["recipes"]["folder"])), Endpoints.free(), children)
        line.program = [sys.executable, "-m", "tests.system.load.mapped_worker"]
        worker = line.start(
            recipes=dict(settings["recipes"]),
            kept={"which": "none"},
            log={"level": "error"},
            ring={"max_pixels": 4096},
        )
        camera = [*program("cmfm-sim"), "replay", "--dataset", "mvtec3d", "--root", str(parts)]
        camera += ["--category", CATEGORY, "--endpoint", line.endpoints.frames]
        camera += ["--rate", str(rate_hz), "--loop", "100000", "--deadline-ms", "2000"]
        children.start("camera", camera)
        line.wait_for(lambda: len(line.received) > 5, worker, 60)
        line.subscriber.close()  # it would be a subscriber of the maps that is not the page's
        say("machine", **machine(), rate_hz=rate_hz, seconds=seconds)
        say("no page", worker_cores=cores([worker], seconds)[0])
        page = start_page(line, folder / "recipes")
        weigh(page.address)
        for count, slow in loads:
            say(
                f"{count} browsers", **with_browsers(worker, page.process, page.address, count, slow, seconds)
            )
        say("chromium", **first_pictures(page.address, seconds))


def with_browsers(
    worker: Child, page: Child, address: str, count: int, slow: int, seconds: float
) -> dict[str, Any]:
    """Measure with so many browsers of a process of their own."""
    command = [sys.executable, "-m", "tests.system.load.browsers", address, str(count)]
    command += [str(seconds + 2 * SETTLE_S), "--slow", str(slow)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        time.sleep(SETTLE_S)
        worker_cores, page_cores = cores([worker, page], seconds)
        memory = Footprint.of(page.pid)
        told = json.loads(running.communicate()[0])
    return {
        **told,
        "worker_cores": worker_cores,
        "page_cores": page_cores,
        "page_rss_mib": round(memory.rss_mib, 1),
        "page_files": memory.files,
    }


def cores(processes: list[Child], seconds: float) -> list[float]:
    """Return the cores that each process used, on average over a while."""
    before = [_cpu_s(process.pid) for process in processes]
    started_s = time.monotonic()
    time.sleep(seconds)
    wall_s = time.monotonic() - started_s
    return [
        round((_cpu_s(process.pid) - start) / wall_s, 4)
        for process, start in zip(processes, before, strict=True)
    ]


def weigh(address: str) -> None:
    """Print the bytes of the live page without pictures, as sent: the page, its style and scripts compressed."""
    request = urllib.request.Request(f"{address}/", headers={"Accept": "text/html"})  # noqa: S310
    with urllib.request.urlopen(request) as answer:  # noqa: S310
        page = answer.read()
    static = files("cmfm_hmi").joinpath("static")
    sizes = {
        name: static.joinpath(name).read_bytes() for name in ("style.css", "page.js", "live.css", "live.js")
    }
    sent = {name: len(gzip.compress(content)) for name, content in sizes.items()}
    say(
        "weight",
        page_bytes=len(page),
        static_bytes=sent,
        total_kb=round((len(page) + sum(sent.values())) / 1000, 1),
    )


def first_pictures(address: str, seconds: float) -> dict[str, Any]:
    """Return when pictures of new parts were on Chromium's screen, in milliseconds after their verdict."""
    listen = """() => { window.delays = [];
      document.addEventListener("part-shown", (event) => {
        if (!event.detail.picture) return;
        requestAnimationFrame(() => window.delays.push(Date.now() - event.detail.at)); }); }"""
    with chromium() as browser, screen(browser, address, expected=("404",)) as page:
        page.wait_for_selector("#strip li")
        page.wait_for_timeout(SETTLE_S * 1000)
        page.evaluate(listen)
        page.wait_for_timeout(seconds * 1000)
        delays = np.array(page.evaluate("window.delays"), dtype=float)
    quantiles = {"p50": 0.5, "p95": 0.95, "max": 1.0}
    found = {name: round(float(np.quantile(delays, q)), 1) for name, q in quantiles.items()}
    return {"pictures": len(delays), "delay_ms": found}


def say(what: str, **figures: Any) -> None:
    """Print one line of JSON."""
    sys.stdout.write(json.dumps({"what": what, **figures}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
