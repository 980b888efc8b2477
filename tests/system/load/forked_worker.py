"""The real `cmfm-worker`, forked from a process that has loaded its modules: it starts in milliseconds.

Nothing is stubbed. A fork leaves out the interpreter's start and the import of torch. Tests that start the worker
hundreds of times use it; a few of their runs should start the program itself.
"""

import contextlib
import multiprocessing
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cmfm_sim.errors import FailedError
from cmfm_sim.processes import END_LIMIT_S, TAIL_LINES, Child

PRELOADED: Final = ["cmfm_worker.app", "cmfm_worker.cli.run", "cmfm_worker.line.service"]


class ForkedWorker(Child):
    """A forked worker with the interface of `Child`; its log is at `log`."""

    def __init__(self, config: Path, log: Path) -> None:
        self.name = "worker"
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        self._forked = context.Process(target=_run, args=(str(config), str(log)), daemon=False)
        with _importable():
            self._forked.start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._forked.pid or 0

    @property
    def returncode(self) -> int | None:
        """Exit code, None while it runs, minus the signal's number where one ended it."""
        return self._forked.exitcode

    def terminate(self) -> None:
        """Ask it to end (SIGTERM)."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End it at once (SIGKILL)."""
        self._forked.kill()
        self._forked.join()

    def freeze(self) -> None:
        """Stop it (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def end(self, limit_s: float = END_LIMIT_S) -> None:
        """End it, with SIGKILL if it takes too long."""
        if self.returncode is None:
            self.terminate()
            self._forked.join(limit_s)
        if self.returncode is None:
            self.kill()

    def failure(self, what: str) -> FailedError:
        """An error that shows the end of its log."""
        tail = "\n".join(self.output().splitlines()[-TAIL_LINES:])
        return FailedError(f"{self.name} {what}; the end of its log:\n{tail}")


@contextlib.contextmanager
def _importable() -> Iterator[None]:
    """Let a forked process find this module by its name, also if pytest found it by its path."""
    root = str(Path(__file__).resolve().parents[3])
    sys.path.append(root)
    try:
        yield
    finally:
        sys.path.remove(root)


def _run(config: str, log: str) -> None:
    """Run a user's command line in the new process, its output in a file."""
    from cmfm_worker import app

    output = os.open(log, os.O_WRONLY | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr] # the interpreter's own text stream
    app.main(["--config", config])
