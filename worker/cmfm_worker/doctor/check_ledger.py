"""The ledger: its file is whole, its rows add up, and the last worker ended as it should."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Final
from urllib.parse import quote

from cmfm_protocol.clock import NS_PER_S
from cmfm_records.ledger import Boot, Question, Totals, open_ledger
from cmfm_records.time_text import utc_text
from cmfm_worker.doctor.findings import Check, Finding, Findings
from cmfm_worker.doctor.visit import Visit
from cmfm_worker.errors import InputError

CHECK: Final = Check("ledger")
QUICK_CHECK_S: Final = 20.0
STEPS: Final = 10_000
"""Steps of SQLite's machine between two looks at the time."""

DAY_NS: Final = 24 * 3600 * NS_PER_S
SAVE: Final = "stop the worker, copy ledger.sqlite with its -wal and .journal, and tell the integrator"


def check_ledger(visit: Visit) -> Findings:
    """Look at the ledger's file and at the account of its last day."""
    path = visit.settings.ledger.path
    if path is None:
        return [CHECK.note("this line keeps no ledger")]
    if not path.exists():
        if visit.worker is not None:
            return [
                CHECK.to_do(
                    f"{path}: not there, and a worker runs", "restart the worker, and find who deleted it"
                )
            ]
        return [CHECK.note(f"{path}: not there yet; the worker makes it")]
    found = [file_finding(path)]
    try:
        with open_ledger(path) as reader:
            newest = [int(str(row["done_ns"])) for row in reader.rows(Question(limit=1))]
            since_ns = newest[0] - DAY_NS if newest else 0
            totals = reader.totals(Question(since_ns=since_ns))
    except InputError as error:
        return [*found, CHECK.to_do(str(error), SAVE)]
    return [*found, *account_findings(totals, since_ns, running=visit.worker is not None)]


def file_finding(path: Path, limit_s: float = QUICK_CHECK_S) -> Finding:
    """Let SQLite look at the file's structure (`PRAGMA quick_check`), for a limited time."""
    until_s = time.monotonic() + limit_s
    size = f"{path} ({path.stat().st_size / 1e6:,.1f} MB)"
    try:
        with closing(sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)) as connection:
            connection.set_progress_handler(lambda: time.monotonic() >= until_s, STEPS)
            said = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            return CHECK.not_checked(
                f"{size}: quick_check takes longer than {limit_s:g} s",
                f"run it while the line stands: sqlite3 {path} 'PRAGMA quick_check'",
            )
        return CHECK.to_do(f"{size}: cannot be read ({error})", SAVE)
    except sqlite3.DatabaseError as error:
        return CHECK.to_do(f"{size}: damaged, or no ledger ({error})", SAVE)
    if said != "ok":
        return CHECK.to_do(f"{size}: damaged ({said})", SAVE)
    return CHECK.good(f"{size}: whole")


def account_findings(totals: Totals, since_ns: int, *, running: bool) -> Findings:
    """Judge the account of the rows since a time, and how the workers that wrote them ended."""
    if not totals.triggers:
        return [CHECK.note("no part is in it yet")]
    last_day = f"since {utc_text(since_ns)[:16]}: {totals.sentence()}"
    found = [CHECK.good(last_day)] if totals.holds else [CHECK.to_do(last_day, SAVE)]
    return found + [finding for boot in totals.boots if (finding := _boot_finding(boot, running=running))]


def _boot_finding(boot: Boot, *, running: bool) -> Finding | None:
    if boot.ending == "killed":
        return CHECK.note(
            f"the worker of boot {boot.boot_id[:8]} was killed after {utc_text(boot.last_done_ns)[:19]}; "
            "the next start completed its rows"
        )
    if boot.ending == "running" and not running:
        return CHECK.note(
            f"the worker of boot {boot.boot_id[:8]} did not end by itself; the next start completes its rows",
            "start the worker; keep ledger and .journal together until then",
        )
    return None
