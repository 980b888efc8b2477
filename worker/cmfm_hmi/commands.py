"""`cmfm-worker` commands as child processes: what needs the worker's code never runs in the page's process.

A child runs at low priority, without a shell, in a session of its own. One of a kind runs at a time.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from cmfm_hmi.errors import PageError
from cmfm_hmi.settings.worker import WorkerSection

NICENESS: Final = 10
KEPT_LINES: Final = 200
"""Newest lines of stderr that are kept."""

REFUSED_CODE: Final = 2
"""Exit code of a command that refuses what it was given."""

SPEAKER: Final = "cmfm-worker: "
"""What the program puts before its errors."""

MAX_OUTPUT_BYTES: Final = 64 * 2**20
MAX_LINE_BYTES: Final = 1 << 20
END_LIMIT_S: Final = 5.0
"""Time between SIGTERM and SIGKILL for a child that is cancelled."""


@dataclass
class RunningCommand:
    """A child under way or ended: `lines` are the newest of its stderr, `output` its stdout, `code` its exit code."""

    kind: str
    arguments: tuple[str, ...]
    lines: deque[str] = field(default_factory=lambda: deque(maxlen=KEPT_LINES))
    output: bytearray = field(default_factory=bytearray)
    code: int | None = None
    cancelled: bool = False
    timed_out: bool = False
    done: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def text(self) -> str:
        """Its stdout so far."""
        return self.output.decode(errors="replace")

    @property
    def failure(self) -> str:
        """The end of its stderr, for people: without the program's name before it."""
        return "\n".join(line.removeprefix(SPEAKER) for line in list(self.lines)[-5:])


class WorkerCommands:
    """Starts `cmfm-worker` commands. `of_kind` is the newest command of a kind, running or ended."""

    def __init__(self, section: WorkerSection) -> None:
        self._program = tuple(section.command) or worker_program()
        self._newest: dict[str, RunningCommand] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._log = structlog.get_logger("commands")

    def of_kind(self, kind: str) -> RunningCommand | None:
        """Return the newest command of a kind; None before the first."""
        return self._newest.get(kind)

    async def run(self, kind: str, arguments: Sequence[str], timeout_s: float) -> RunningCommand:
        """Run a command to its end, and return it with exit code 0.

        Raises PageError: it failed (the sentence has the end of its stderr), took too long, or one of its kind runs.
        """
        command = self.start(kind, arguments, timeout_s)
        await command.done.wait()
        if command.timed_out:
            raise PageError("command_slow", 504, command=kind, seconds=timeout_s)
        if command.code != 0:
            status = 422 if command.code == REFUSED_CODE else 500
            raise PageError("command_failed", status, command=kind, error=command.failure)
        return command

    def start(
        self,
        kind: str,
        arguments: Sequence[str],
        timeout_s: float,
        on_line: Callable[[str], None] = lambda _: None,
    ) -> RunningCommand:
        """Start a command and return at once. `on_line` gets each line of its stderr. Raises PageError (409, busy)."""
        if (task := self._tasks.get(kind)) is not None and not task.done():
            raise PageError("command_busy", 409, command=kind)
        command = RunningCommand(kind, tuple(arguments))
        self._newest[kind] = command
        self._tasks[kind] = asyncio.create_task(
            self._run(command, timeout_s, on_line), name=f"command {kind}"
        )
        return command

    def cancel(self, kind: str) -> None:
        """End the command of a kind that runs."""
        task, command = self._tasks.get(kind), self._newest.get(kind)
        if task is not None and command is not None and not task.done():
            command.cancelled = True
            task.cancel()

    async def close(self) -> None:
        """End all commands."""
        for kind in list(self._tasks):
            self.cancel(kind)
        running = [task for task in self._tasks.values() if not task.done()]
        if running:
            await asyncio.wait(running)

    async def _run(self, command: RunningCommand, timeout_s: float, on_line: Callable[[str], None]) -> None:
        log = self._log.bind(kind=command.kind)
        log.info("command_started", arguments=list(command.arguments))
        try:
            process = await _spawn((*self._program, *command.arguments))
        except OSError as error:
            command.code = 127
            command.lines.append(f"{self._program[0]} cannot be started: {error}")
            log.warning("command_failed", error=str(error))
            command.done.set()
            return
        reading = asyncio.gather(
            _read_output(process.stdout, command), _read_lines(process.stderr, command, on_line)
        )
        try:
            async with asyncio.timeout(timeout_s):
                await reading
                await process.wait()
        except TimeoutError:
            command.timed_out = True
        finally:
            reading.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([reading])
            command.code = await _end(process)
            log.info("command_ended", code=command.code, cancelled=command.cancelled)
            command.done.set()


def worker_program() -> tuple[str, ...]:
    """Return the command that starts `cmfm-worker` of this installation, on the path or not."""
    script = Path(sys.executable).with_name("cmfm-worker")
    if script.is_file():
        return (str(script),)
    return (sys.executable, "-c", "from cmfm_worker.app import main; main()")


async def _spawn(argv: Sequence[str]) -> asyncio.subprocess.Process:
    nice = shutil.which("nice")
    lowered = [nice, "-n", str(NICENESS), *argv] if nice is not None else list(argv)
    return await asyncio.create_subprocess_exec(
        *lowered,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        limit=MAX_LINE_BYTES,
        start_new_session=True,
    )


async def _read_output(stream: asyncio.StreamReader | None, command: RunningCommand) -> None:
    while stream is not None and (chunk := await stream.read(1 << 16)):
        if len(command.output) < MAX_OUTPUT_BYTES:
            command.output += chunk


async def _read_lines(
    stream: asyncio.StreamReader | None, command: RunningCommand, on_line: Callable[[str], None]
) -> None:
    rest = b""
    while stream is not None and (chunk := await stream.read(1 << 16)):
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        rest = rest[-MAX_LINE_BYTES:]
        for line in filter(None, whole):
            text = line.decode(errors="replace")
            command.lines.append(text)
            on_line(text)
    if rest:
        command.lines.append(rest.decode(errors="replace"))


async def _end(process: asyncio.subprocess.Process) -> int:
    """End a child and its session unless it has ended; return its exit code."""
    if process.returncode is None:
        _signal(process.pid, signal.SIGTERM)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_LIMIT_S):
                await process.wait()
    if process.returncode is None:
        _signal(process.pid, signal.SIGKILL)
    return await process.wait()


def _signal(session: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, number)
