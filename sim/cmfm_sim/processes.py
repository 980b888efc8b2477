"""Runs our own programs as child processes: output goes to log files, and none is left running."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from cmfm_sim.errors import FailedError

END_LIMIT_S: Final = 10.0
"""Time that a child may take to end after SIGTERM before it is killed."""

TAIL_LINES: Final = 15
"""Lines of a log that are shown when its process fails."""

POLL_S: Final = 0.1

_MODULES: Final = {
    "cmfm-worker": "cmfm_worker.app",
    "cmfm-camera": "cmfm_cameras.app",
    "cmfm-gateway": "cmfm_gateway.app",
    "cmfm-hmi": "cmfm_hmi.app",
    "cmfm-sim": "cmfm_sim.app",
}


def program(name: str) -> list[str]:
    """The command that starts a program of this installation, on the path or not."""
    script = Path(sys.executable).with_name(name)
    if script.is_file():
        return [str(script)]
    return [sys.executable, "-c", f"from {_MODULES[name]} import main; main()"]


class Child:
    """A process that writes into a log. It has its own session: Ctrl-C in the terminal reaches only its parent."""

    def __init__(self, name: str, argv: Sequence[str], log: Path) -> None:
        self.name = name
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=_environment(),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs, minus the signal's number where one ended it."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        self.signal(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, unless it has ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def kill(self) -> None:
        """End it and its session at once (SIGKILL)."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def freeze(self) -> None:
        """Stop it (SIGSTOP); its connections stay open."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Continue it after `freeze` (SIGCONT)."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGCONT)

    def end(self, limit_s: float = END_LIMIT_S) -> None:
        """End it, with SIGKILL to its session if it takes too long."""
        if self.returncode is None:
            self.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(limit_s)
        if self.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def wait(self, stopped: Callable[[], bool], limit_s: float) -> None:
        """Wait until it has ended with 0. Raises FailedError if it fails, takes too long or is `stopped`."""
        until_s = time.monotonic() + limit_s
        while self.returncode is None:
            if stopped():
                raise FailedError("stopped")
            if time.monotonic() > until_s:
                raise self.failure(f"did not end within {limit_s:g} s")
            time.sleep(POLL_S)
        self.require_success()

    def require_success(self) -> None:
        """Raise FailedError if it ended with another code than 0."""
        if self.returncode not in (0, None):
            raise self.failure(f"ended with exit code {self.returncode}")

    def failure(self, what: str) -> FailedError:
        """An error that shows the end of its log."""
        lines = self.output().splitlines()[-TAIL_LINES:]
        shown = "\n".join(f"  | {line}" for line in lines) or "  | (it wrote nothing)"
        return FailedError(f"{self.name} {what}; the end of {self._log}:\n{shown}")

    def output(self) -> str:
        """Its output so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")


class Children:
    """Starts children, and ends those that still run when the context is left, also by an exception."""

    def __init__(self, logs: Path) -> None:
        self._logs = logs
        self._children: list[Child] = []

    def __enter__(self) -> "Children":
        return self

    def __exit__(self, *_: object) -> None:
        for child in reversed(self._children):
            child.end()

    def start(self, name: str, argv: Sequence[str]) -> Child:
        """Start a process; its output goes to `<logs>/<name>.log`. Raises FailedError if it cannot be started."""
        try:
            child = Child(name, argv, self._logs / f"{name}.log")
        except OSError as error:
            raise FailedError(f"{argv[0]} cannot be started: {error}") from error
        self._children.append(child)
        return child


def _environment() -> dict[str, str]:
    """The environment without overrides of a line's settings, which are meant for another line."""
    return {name: value for name, value in os.environ.items() if not name.startswith("CMFM_")}
