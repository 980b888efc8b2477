"""The checks of ledger and leftovers: damage, missing rows, killed workers, and what these leave."""

import os
import sqlite3
import time
from pathlib import Path

import pytest
import zmq
from tests.unit.made.examined import outcomes, said, settings, visit
from tests.unit.made.verdicts import BASE_NS, result

from cmfm_worker.doctor.check_ledger import check_ledger, file_finding
from cmfm_worker.doctor.check_leftovers import OLD_S, check_leftovers, orphan_findings, unfinished
from cmfm_worker.doctor.findings import Outcome
from cmfm_worker.doctor.processes import LockHolder, Process
from cmfm_worker.doctor.visit import RunningWorker
from cmfm_worker.line.records.ledger.writer import Ledger

RUNNING = RunningWorker(LockHolder(None, ""), None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A ledger of 400 rows of one boot that ended well."""
    ledger = Ledger(tmp_path / "ledger.sqlite", flush_ms=10)
    ledger.begin("boot")
    for number in range(1, 401):
        ledger.append(result(number, boot_id="boot"))
    ledger.close()
    return tmp_path / "ledger.sqlite"


def change(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def test_whole_ledger_is_good(tmp_path: Path, path: Path) -> None:
    """The file, and the account of its last day."""
    found = check_ledger(visit(tmp_path))
    assert outcomes(found) == [Outcome.GOOD, Outcome.GOOD]
    assert "whole" in found[0].seen
    assert "400 triggers = 400 PASS" in found[1].seen


def test_missing_rows_are_to_do(tmp_path: Path, path: Path) -> None:
    """Somebody deleted three in the middle."""
    change(path, "DELETE FROM triggers WHERE result_id BETWEEN 10 AND 12")
    assert "3 ROWS MISSING" in said(check_ledger(visit(tmp_path)), Outcome.TO_DO)


def test_damaged_file_is_to_do(tmp_path: Path, path: Path) -> None:
    """Pages in the middle were overwritten."""
    content = bytearray(path.read_bytes())
    content[8 * 4096 : 12 * 4096] = os.urandom(4 * 4096)
    path.write_bytes(content)
    told = said(check_ledger(visit(tmp_path)), Outcome.TO_DO)
    assert "damaged" in told
    assert ".journal" in told


def test_file_of_another_program_is_to_do(tmp_path: Path) -> None:
    """SQLite reads it, and it is no ledger; or it is no SQLite at all."""
    change(tmp_path / "ledger.sqlite", "CREATE TABLE notes (text TEXT)")
    assert "no table `triggers`" in said(check_ledger(visit(tmp_path)), Outcome.TO_DO)
    (tmp_path / "ledger.sqlite").write_bytes(b"not a database at all" * 500)
    assert "no ledger" in said(check_ledger(visit(tmp_path)), Outcome.TO_DO)


def test_ledger_that_is_not_there(tmp_path: Path) -> None:
    """Before the first start that is as it should be; beside a running worker it is not."""
    assert outcomes(check_ledger(visit(tmp_path))) == [Outcome.NOTE]
    assert "restart" in said(check_ledger(visit(tmp_path, worker=RUNNING)), Outcome.TO_DO)
    without = settings(tmp_path, ledger={"path": None})
    assert outcomes(check_ledger(visit(tmp_path, settings=without))) == [Outcome.NOTE]


def test_worker_that_was_killed_is_noted(tmp_path: Path, path: Path) -> None:
    """A boot that did not end, and one that a later start has completed."""
    change(path, "UPDATE boots SET ending = 'running'")
    assert "did not end by itself" in said(check_ledger(visit(tmp_path)), Outcome.NOTE)
    assert not said(check_ledger(visit(tmp_path, worker=RUNNING)), Outcome.NOTE)
    change(path, "UPDATE boots SET ending = 'killed'")
    assert "was killed" in said(check_ledger(visit(tmp_path)), Outcome.NOTE)


def test_a_look_that_takes_too_long_is_given_up(path: Path) -> None:
    """A large ledger on a slow disk: the line says how to look oneself."""
    connection = sqlite3.connect(path)
    connection.executemany(
        "INSERT INTO unrecorded VALUES (?, 1, ?)", [(f"stream {number}", BASE_NS) for number in range(20_000)]
    )
    connection.commit()
    connection.close()
    finding = file_finding(path, limit_s=-1)
    assert finding.outcome is Outcome.NOT_CHECKED
    assert "quick_check" in finding.do


def test_clean_line_has_no_leftovers(tmp_path: Path) -> None:
    """One good line."""
    (tmp_path / "recipes" / ".versions").mkdir(parents=True)
    assert outcomes(check_leftovers(visit(tmp_path))) == [Outcome.GOOD]


def test_unfinished_folders_are_to_do_once_nobody_works_on_them(tmp_path: Path) -> None:
    """A part and a recipe whose writers were killed; young ones may still be written."""
    for name in ("kept/.partial-20260202T024007000Z_b_7", "recipes/.part.abcd1234"):
        (tmp_path / name).mkdir(parents=True)
    given = settings(tmp_path)
    assert unfinished(given, time.time()) == []
    assert len(unfinished(given, time.time() + 2 * OLD_S)) == 2
    old_s = time.time() - 2 * OLD_S
    os.utime(tmp_path / "kept" / ".partial-20260202T024007000Z_b_7", (old_s, old_s))
    assert "1 unfinished folders" in said(check_leftovers(visit(tmp_path)), Outcome.TO_DO)


def test_sockets_that_nobody_serves_are_noted(tmp_path: Path) -> None:
    """The file of a Unix socket outlives a killed worker."""
    with zmq.Context() as context, context.socket(zmq.PUB) as served:
        served.bind(f"ipc://{tmp_path}/results")
        assert outcomes(check_leftovers(visit(tmp_path))) == [Outcome.GOOD]
        os.link(tmp_path / "results", tmp_path / "kept-socket")
    (tmp_path / "kept-socket").rename(tmp_path / "results")
    assert f"{tmp_path}/results" in said(check_leftovers(visit(tmp_path)), Outcome.NOTE)


@pytest.mark.parametrize(
    ("process", "outcome"),
    [
        (
            Process(9, 1, "cmfm-worker", ("/opt/venv/bin/python", "/opt/venv/bin/cmfm-worker", "fit")),
            Outcome.TO_DO,
        ),
        (Process(9, 8, "cmfm-worker", ("/opt/venv/bin/python", "/opt/venv/bin/cmfm-worker", "fit")), None),
        (Process(9, 1, "cmfm-worker", ("/opt/venv/bin/cmfm-worker", "--config", "line.toml")), None),
        (Process(9, 1, "fit", ("fit",)), None),
    ],
)
def test_commands_without_their_caller(process: Process, outcome: Outcome | None) -> None:
    """A teaching whose shell or page has gone computes on; a service is nobody's child."""
    found = orphan_findings([process])
    assert outcomes(found) == ([] if outcome is None else [outcome])
