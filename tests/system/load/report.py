"""Report of a long run: its figures as JSON while it runs and when it ends, with machine, commit and settings."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

REPOSITORY: Final = Path(__file__).resolve().parents[3]


def quantiles(values: NDArray[np.float64]) -> dict[str, float] | None:
    """p50, p99, p99.9 and max by nearest rank: each is one of the values; None without values."""
    if not len(values):
        return None
    p50, p99, p999 = np.quantile(values, [0.5, 0.99, 0.999], method="inverted_cdf")
    found = {"p50": p50, "p99": p99, "p99.9": p999, "max": values.max()}
    return {name: round(float(value), 3) for name, value in found.items()}


def machine() -> dict[str, Any]:
    """The machine by its processor; neither its name nor a path."""
    lines = Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines()
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {"cpu": cpu, "cores": os.cpu_count(), "system": f"{platform.system()} {platform.machine()}"}


def commit() -> str:
    """The commit that is checked out, with + where tracked files differ from it."""
    git = ("git", "-C", str(REPOSITORY))
    head = subprocess.run(
        [*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False
    )
    changed = subprocess.run(
        [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=False
    )
    return (head.stdout.strip() or "unknown") + ("+" if changed.stdout.strip() else "")


class Report:
    """A growing JSON object. It is written whole each time, so that a killed run leaves its figures."""

    def __init__(self, test: str, settings: argparse.Namespace) -> None:
        self._path: Path | None = settings.json
        self._started_s = time.monotonic()
        hidden = ("json", "work")
        self.values: dict[str, Any] = {
            "test": test,
            "finished": False,
            "met": None,
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "commit": commit(),
            "machine": machine(),
            "settings": {key: value for key, value in vars(settings).items() if key not in hidden},
        }
        self.write()

    def write(self, **values: Any) -> None:
        """Add values and write the file."""
        self.values |= values
        self.values["seconds"] = round(time.monotonic() - self._started_s, 1)
        if self._path is not None:
            part = self._path.with_suffix(".part")
            part.write_text(json.dumps(self.values, indent=1) + "\n", encoding="utf-8")
            part.replace(self._path)

    def finish(self, problems: Sequence[str], **values: Any) -> int:
        """Write the end of the run with its problems, one line each. Returns the exit code."""
        self.write(**values, finished=True, met=not problems, problems=list(problems))
        for problem in problems:
            say(f"NOT MET: {problem}")
        if not problems:
            say("met")
        return 1 if problems else 0


def say(text: str) -> None:
    """A line of progress, on stderr."""
    sys.stderr.write(f"{datetime.now(UTC):%H:%M:%S} {text}\n")
    sys.stderr.flush()


def options(doc: str) -> argparse.ArgumentParser:
    """A parser with the options that every long run has."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures there, also while running"
    )
    parser.add_argument(
        "--work", type=Path, metavar="DIR", help="keep parts, recipes and logs there for the next run"
    )
    parser.add_argument("--size-px", type=int, default=400, help="side of a frame")
    parser.add_argument(
        "--threads", type=int, default=1, help="CPU threads of one computation (0: one a core)"
    )
    return parser


@contextmanager
def work_folder(kept: Path | None) -> Iterator[Path]:
    """The folder to work in: `kept`, or a temporary one."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="cmfm-") as folder:
        yield Path(folder)
