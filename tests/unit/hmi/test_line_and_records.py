"""Requests of the page to others: the worker's sockets, the ledger, child processes. Nothing of it may hang or harm."""

import asyncio
import contextlib
import sqlite3
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from tests.unit.made.line_messages import result
from tests.unit.made.publishing_line import PublishingLine
from tests.unit.made.written_ledger import write_ledger

from cmfm_client import NoReplyError
from cmfm_hmi.audit import AuditLog
from cmfm_hmi.commands import WorkerCommands
from cmfm_hmi.errors import InputError, PageError, StartupError
from cmfm_hmi.history import MAX_WAITING, History
from cmfm_hmi.line.feed import LineFeed
from cmfm_hmi.line.live_line import RESULTS_KEPT, LiveLine
from cmfm_hmi.settings.records import RecordsSection
from cmfm_hmi.settings.worker import WorkerSection
from cmfm_hmi.store import PageStore
from cmfm_hmi.worker_requests import WorkerRequests
from cmfm_protocol.wire.control import LoadRecipeRequest, Request
from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.ledger import Question

LIMIT_S = 30.0


def wait_until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s, "the condition never held"
        time.sleep(0.01)


async def until(condition: Callable[[], object]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end_s, "the condition never held"
        await asyncio.sleep(0.01)


def test_a_page_that_is_started_again_begins_with_the_newest_results() -> None:
    """Not with all that the worker holds, and without a gap to those that follow."""
    with PublishingLine() as line:
        for _ in range(RESULTS_KEPT + 30):
            line.publish()
        live = LiveLine()
        feed = LineFeed(WorkerSection(**line.worker_section, silence_s=60), live)
        feed.start()
        try:
            line.wait_for_subscriber()
            wait_until(lambda: _beat(line) or len(live.snapshot().results) == RESULTS_KEPT)
            line.publish(Verdict.FAIL)
            wait_until(lambda: _beat(line) or live.snapshot().results[0].result_id == RESULTS_KEPT + 31)
            assert [each.result_id for each in live.snapshot().results[:3]] == [
                RESULTS_KEPT + 31,
                RESULTS_KEPT + 30,
                RESULTS_KEPT + 29,
            ]
            assert live.snapshot().lost == 0
        finally:
            feed.close()


def test_a_worker_that_falls_silent_or_starts_again_is_noticed() -> None:
    """Silence makes the line not alive; the next state makes it alive again, with the new boot's results."""
    with PublishingLine() as line:
        live = LiveLine()
        feed = LineFeed(WorkerSection(**line.worker_section, silence_s=0.5), live)
        feed.start()
        try:
            wait_until(lambda: _beat(line) or live.snapshot().alive)
            wait_until(lambda: not live.snapshot().alive)
            line.restart("boot2")
            line.publish()
            wait_until(lambda: _beat(line) or live.snapshot().results)
            wait_until(lambda: _beat(line) or live.snapshot().alive)
            assert live.snapshot().results[0].boot_id == "boot2"
        finally:
            feed.close()


def _beat(line: PublishingLine) -> bool:
    line.heartbeat()
    time.sleep(0.05)
    return False


def test_the_ledger_is_asked_in_threads_and_its_troubles_are_sentences(tmp_path: Path) -> None:
    """Missing, no ledger at all, not a ledger, locked for longer than the limit: a PageError with its words."""

    async def scenario() -> None:
        path = tmp_path / "ledger.sqlite"
        for section, expected in (
            (RecordsSection(ledger=None), "no_ledger"),
            (RecordsSection(ledger=path), "records"),
        ):
            with pytest.raises(PageError) as refused:
                await ask(section)
            assert refused.value.key == expected
        path.write_text("not a database, although it is long enough to be one" * 20)
        with pytest.raises(PageError) as damaged:
            await ask(RecordsSection(ledger=path))
        assert "not a ledger" in str(damaged.value)
        path.unlink()
        write_ledger(path, [result(0)])
        assert await ask(RecordsSection(ledger=path)) == 1
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as locking:
            locking.execute("PRAGMA locking_mode = EXCLUSIVE")
            locking.execute("BEGIN EXCLUSIVE")
            with pytest.raises(PageError) as locked:
                await ask(RecordsSection(ledger=path, query_s=0.3))
            assert locked.value.key in {"too_slow", "records"}

    async def ask(section: RecordsSection) -> int:
        history = History(section)
        try:
            return await history.ask(lambda reader: reader.totals(Question()).triggers)
        finally:
            history.close()

    asyncio.run(scenario())


def test_a_slow_disk_keeps_the_page_from_piling_up_questions() -> None:
    """Each gives up after its limit; beyond the bound the next is told that the page is busy, at once."""

    async def scenario() -> None:
        history, release = History(RecordsSection()), threading.Event()
        try:
            asked = [asyncio.create_task(history.read(release.wait, 0.2)) for _ in range(MAX_WAITING)]
            await asyncio.sleep(0)
            with pytest.raises(PageError, match="busy"):
                await history.read(lambda: True)
            for task in asked:
                with pytest.raises(PageError, match="too_slow"):
                    await task
            release.set()
            await until(lambda: history._asked == 0)
            assert await history.read(lambda: True)
        finally:
            release.set()
            history.close()

    asyncio.run(scenario())


def commands_of(tmp_path: Path, program: str) -> WorkerCommands:
    """Commands whose program is a script of the test."""
    script = tmp_path / "program.py"
    script.write_text(program)
    return WorkerCommands(WorkerSection(command=(sys.executable, str(script))))


def test_a_command_gives_its_output_or_a_sentence(tmp_path: Path) -> None:
    """stdout of one that worked; the end of stderr of one that failed; a program that is not there."""

    async def scenario() -> None:
        program = "import sys; print(sys.argv[1:]); sys.stderr.write('what went wrong\\n'); sys.exit(len(sys.argv) - 2)"
        commands = commands_of(tmp_path, program)
        done = await commands.run("show", ["; rm -rf $HOME"], 30)
        assert done.text == "['; rm -rf $HOME']\n"  # one argument: no shell has seen it
        with pytest.raises(PageError) as failed:
            await commands.run("show", ["a", "b"], 30)
        assert "what went wrong" in str(failed.value)
        missing = WorkerCommands(WorkerSection(command=("/nonexistent/cmfm-worker",)))
        with pytest.raises(PageError, match="command_failed"):
            await missing.run("show", [], 30)
        await commands.close()

    asyncio.run(scenario())


def test_a_command_runs_alone_at_low_priority_and_can_be_ended(tmp_path: Path) -> None:
    """A second one of its kind is refused; cancel, time limit and the page's end each end it and its children."""
    program = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "sys.stderr.write(f'{os.getpriority(os.PRIO_PROCESS, 0)} {child.pid}\\n'); sys.stderr.flush()\n"
        "time.sleep(600)\n"
    )

    async def scenario() -> None:
        commands = commands_of(tmp_path, program)
        lines: list[str] = []
        for how in ("cancel", "close"):
            lines.clear()
            running = commands.start("teach", [], 600, lines.append)
            with pytest.raises(PageError, match="command_busy"):
                commands.start("teach", [], 600)
            await until(lambda: lines)
            niceness, child = map(int, lines[0].split())
            assert niceness >= 10
            if how == "cancel":
                commands.cancel("teach")
            else:
                await commands.close()
            async with asyncio.timeout(LIMIT_S):
                await running.done.wait()
            await until(partial(has_ended, child))
            assert running.cancelled
        with pytest.raises(PageError, match="command_slow"):
            await commands.run("teach", [], 0.3)
        await commands.close()

    asyncio.run(scenario())


def has_ended(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


class Ledger:
    """The worker's side of the trace: takes entries, or does not answer."""

    def __init__(self) -> None:
        self.answers = False
        self.rows: list[AuditRequest] = []

    def send(self, request: Request) -> None:
        if not self.answers:
            raise NoReplyError("the worker did not reply")
        assert isinstance(request, AuditRequest)
        self.rows.append(request)


@contextlib.asynccontextmanager
async def audit_log(path: Path, ledger: Ledger) -> AsyncIterator[AuditLog]:
    store = PageStore(path)
    audit = AuditLog(store, ledger.send)
    audit.start()
    try:
        yield audit
    finally:
        await audit.close()
        store.close()


def test_a_change_reaches_the_ledger_once_however_long_the_worker_is_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is stored first, waits over a restart of the page, and is sent when the worker answers, in its order."""
    monkeypatch.setattr("cmfm_hmi.audit.RETRY_S", 0.05)
    ledger, path = Ledger(), tmp_path / "hmi.sqlite"

    async def scenario() -> None:
        async with audit_log(path, ledger) as audit:
            await audit.write("anna", "threshold", "bagel", "0.5", "0.6")
            await audit.write("ben", "take_over", "line\nof two", "PLC", "x" * 5000)
            assert len(audit.waiting()) == 2
        ledger.answers = True
        async with audit_log(path, ledger) as audit:
            await until(lambda: not audit.waiting())
            await audit.write("anna", "give_back")
            await until(lambda: len(ledger.rows) == 3)
            assert [row.what for row in ledger.rows] == ["threshold", "take_over", "give_back"]
            assert ledger.rows[1].subject == "line of two"
            assert len(ledger.rows[1].after) == 256
            assert [entry.who for entry in audit.newest()] == ["anna", "ben", "anna"]

    asyncio.run(scenario())


def test_a_change_that_cannot_be_traced_is_not_made(tmp_path: Path) -> None:
    """A full disk is a PageError before anything is changed."""

    async def scenario() -> None:
        store = PageStore(tmp_path / "hmi.sqlite")
        audit = AuditLog(store, Ledger().send)
        store.close()
        with pytest.raises(PageError, match="audit_failed"):
            await audit.write("anna", "threshold")

    asyncio.run(scenario())


def test_a_store_of_another_program_is_refused(tmp_path: Path) -> None:
    """The page does not write into a file that is not its own, and says what to do."""
    other = tmp_path / "other.sqlite"
    with contextlib.closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE a (b)")
    with pytest.raises(InputError, match="name another file"):
        PageStore(other)
    other.write_text("no database at all, and longer than its header" * 10)
    with pytest.raises(StartupError, match="cannot be used"):
        PageStore(other)


def test_a_worker_that_is_away_or_refuses_is_a_sentence() -> None:
    """The page waits in a thread, for its limit alone."""

    async def scenario() -> None:
        with PublishingLine() as line:
            requests = WorkerRequests(WorkerSection(**line.worker_section))
            assert (await requests.ask(LoadRecipeRequest("1", "bagel"), 30)).ok
            line.refuse = "no such recipe"
            with pytest.raises(PageError) as refused:
                await requests.ask(LoadRecipeRequest("2", "bagel"), 30)
            assert (refused.value.key, refused.value.status) == ("worker_refused", 409)
        with pytest.raises(PageError, match="worker_away"):
            await requests.ask(LoadRecipeRequest("3", "bagel"), 0.2)

    asyncio.run(scenario())
