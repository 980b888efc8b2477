"""`cmfm-worker ledger` selects the right rows, in every format, and checks that they add up."""

from __future__ import annotations

import csv
import json
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from tests.unit.made.dataset import run
from tests.unit.made.verdicts import BASE_NS, result

from cmfm_protocol.wire.record_requests import AuditRequest
from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.time_text import parse_time_ns, utc_text
from cmfm_worker.errors import InputError
from cmfm_worker.line.records.ledger.writer import Ledger

VERDICTS = [Verdict.PASS] * 6 + [Verdict.FAIL] * 2 + [Verdict.UNDECIDED, Verdict.FAULT]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write ten rows: six PASS, two FAIL, an UNDECIDED and a FAULT, one second apart."""
    ledger = Ledger(tmp_path / "ledger.sqlite", flush_ms=10)
    for i, verdict in enumerate(VERDICTS, start=1):
        recipe = "bagel" if i % 2 else "cookie"
        ledger.append(result(i, verdict, recipe=recipe, stream_uuid=f"cam{i % 3}"), frame_sha256="f" * 64)
    ledger.close()
    return tmp_path / "ledger.sqlite"


def ask(capsys: pytest.CaptureFixture[str], path: Path, *options: object) -> dict[str, Any]:
    assert run("ledger", "--path", path, "--json", *options) == 0
    answer: dict[str, Any] = json.loads(capsys.readouterr().out)
    return answer


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        ((), list(range(1, 11))),
        (("--verdict", "fail"), [7, 8]),
        (("--recipe", "cookie"), [2, 4, 6, 8, 10]),
        (("--recipe", "cookie", "--verdict", "FAIL"), [8]),
        (("--part", "p4"), [5]),
        (("--stream", "cam0"), [3, 6, 9]),
        (("--since", "2026-02-02T02:40:08"), [8, 9, 10]),
        (("--since", "2026-02-02T03:40:08+01:00", "--until", "2026-02-02T02:40:10Z"), [8, 9]),
        (("--limit", "3"), [8, 9, 10]),
        (("--part", "'; DROP TABLE triggers; --"), []),
    ],
)
def test_questions(
    capsys: pytest.CaptureFixture[str], path: Path, options: tuple[str, ...], ids: list[int]
) -> None:
    """Each option narrows the rows; they are ordered oldest first, and a limit selects the newest."""
    assert [row["result_id"] for row in ask(capsys, path, *options)["rows"]] == ids


def test_totals_count_all_selected_rows(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    """A limit cuts the rows but not the totals; a filter applies to both."""
    totals = ask(capsys, path, "--limit", "1")["totals"]
    assert (totals["triggers"], totals["identity_holds"]) == (10, True)
    assert totals["verdicts"] == {"PASS": 6, "FAIL": 2, "UNDECIDED": 1, "FAULT": 1}
    assert ask(capsys, path, "--verdict", "FAIL")["totals"]["triggers"] == 2


IDENTITY = "10 triggers = 6 PASS + 2 FAIL + 1 UNDECIDED + 1 FAULT; no row missing"


def test_table_ends_with_the_identity(
    capsys: pytest.CaptureFixture[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal a table shows the parts, and its last line that every trigger is accounted for."""
    monkeypatch.setenv("FORCE_COLOR", "1")  # rich then takes any output for a terminal
    assert run("ledger", "--path", path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == IDENTITY
    assert sum("UNDECI" in line for line in lines) >= 2


def test_rows_in_a_pipe_are_one_line_each(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    """A header and one line a row, cells separated by tabs; the accounting identity goes to stderr."""
    assert run("ledger", "--path", path) == 0
    said = capsys.readouterr()
    header, *rows = (line.split("\t") for line in said.out.splitlines())
    assert len(rows) == 10
    assert {len(row) for row in (header, *rows)} == {8}
    assert [row[3] for row in rows] == [str(verdict) for verdict in VERDICTS]
    assert IDENTITY in said.err


def test_missing_row_is_reported(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    """A missing row breaks the count of its boot and is reported for every query."""
    with sqlite3.connect(path) as connection:
        connection.execute("DELETE FROM triggers WHERE result_id = 4")
    connection.close()
    assert not ask(capsys, path, "--verdict", "FAIL")["totals"]["identity_holds"]
    assert run("ledger", "--path", path) == 0
    said = capsys.readouterr()
    assert "1 ROWS MISSING" in said.err
    assert "boot b: 1 result ids have no row" in said.err


def test_killed_boot_is_reported(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """For a worker that was killed the ledger reports the time after which verdicts may be missing."""
    path = tmp_path / "ledger.sqlite"
    first = Ledger(path, flush_ms=50)
    first.begin("b")
    first.append(result(1))
    first.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE boots SET ending = 'running'")
    connection.close()
    Ledger(path, flush_ms=50).close()
    capsys.readouterr()
    assert run("ledger", "--path", path) == 0
    assert "boot b was killed: verdicts after 2026-02-02T02:40:01.000Z" in capsys.readouterr().err


def test_csv_holds_every_column(capsys: pytest.CaptureFixture[str], path: Path, tmp_path: Path) -> None:
    """The CSV has every column of the ledger and the readable time; a score reads back exactly."""
    out = tmp_path / "rows.csv"
    assert run("ledger", "--path", path, "--csv", out) == 0
    assert "10 rows in" in capsys.readouterr().out
    with out.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["result_id"]) for row in rows] == list(range(1, 11))
    assert float(rows[0]["score"]) == 0.5
    assert rows[0]["frame_sha256"] == "f" * 64
    assert rows[0]["done_utc"] == "2026-02-02T02:40:01.000Z"
    assert int(rows[0]["done_ns"]) == BASE_NS + 10**9


def test_parquet_holds_every_column(path: Path, tmp_path: Path) -> None:
    """The Parquet file has the same rows with their types."""
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs the extra `parquet`")
    out = tmp_path / "rows.parquet"
    assert run("ledger", "--path", path, "--parquet", out) == 0
    rows = parquet.read_table(out).to_pylist()
    assert [row["result_id"] for row in rows] == list(range(1, 11))
    assert (rows[0]["score"], rows[0]["simulated"], rows[0]["recipe_sha"]) == (0.5, True, None)


def test_parquet_without_pyarrow_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without pyarrow the message names the extra and --csv as the alternative."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    assert run("ledger", "--path", path, "--parquet", tmp_path / "rows.parquet") == 2
    said = capsys.readouterr().err
    assert "cmfm[parquet]" in said
    assert "--csv" in said
    assert not (tmp_path / "rows.parquet").exists()


def test_ledger_in_use_can_be_read(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The ledger can be read while the worker writes to it; neither waits for the other."""
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path, flush_ms=10)
    ledger.append(result(1))
    give_up = time.monotonic() + 10
    while not (found := ask(capsys, path)["rows"]) and time.monotonic() < give_up:
        time.sleep(0.01)
    ledger.close()
    assert [row["result_id"] for row in found] == [1]


def test_ledger_of_another_version_is_refused(capsys: pytest.CaptureFixture[str], path: Path) -> None:
    """A ledger of another version gives exit code 2 and a line with file and version; the file is unchanged."""
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 0")  # as version 1 left it
    connection.close()
    before = path.read_bytes()
    assert run("ledger", "--path", path) == 2
    told = capsys.readouterr().err
    assert str(path) in told
    assert "version 1, older than any release" in told
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [None, b"", b"no database at all" * 100, "other"])
def test_file_that_is_not_a_ledger(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: bytes | str | None
) -> None:
    """A file that is not a ledger gives exit code 2 and a line that names it."""
    path = tmp_path / "some.file"
    if content == "other":
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE customers (name TEXT)")
        connection.close()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    assert run("ledger", "--path", path) == 2
    said = capsys.readouterr().err
    assert "some.file" in said
    assert "ledger" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize(
    "options", [("--since", "yesterday"), ("--verdict", "MAYBE"), ("--json", "--csv", "x")]
)
def test_wrong_option(capsys: pytest.CaptureFixture[str], path: Path, options: tuple[str, ...]) -> None:
    """A wrong option is refused with exit code 2."""
    assert run("ledger", "--path", path, *options) == 2
    assert capsys.readouterr().err


def test_times() -> None:
    """A time is UTC unless it has an offset; an age counts back from now."""
    assert parse_time_ns("1970-01-01T00:00:01", 0) == 10**9
    assert parse_time_ns("1970-01-01T01:00:01+01:00", 0) == 10**9
    assert parse_time_ns("90m", 6000 * 10**9) == 600 * 10**9
    assert utc_text(parse_time_ns("2026-03-01T06:00:00.123", 0)) == "2026-03-01T06:00:00.123Z"
    with pytest.raises(InputError, match="7d"):
        parse_time_ns("tomorrow", 0)


def test_audit_shows_who_changed_what(capsys: pytest.CaptureFixture[str], path: Path, tmp_path: Path) -> None:
    """On a pipe one line an entry, and the same as JSON and CSV; times select; options about verdicts are refused."""
    ledger = Ledger(path, flush_ms=10)
    for number in (1, 2):
        entry = AuditRequest(
            "1", f"e{number}", BASE_NS + number * 10**9, "ann", "recipe.use", "cap", "a\tb", ""
        )
        ledger.audit(entry, lambda _error: None)
    ledger.close()
    assert run("ledger", "--path", path, "--audit") == 0
    told = capsys.readouterr().out.splitlines()
    assert told[1:] == [
        f"2026-02-02T02:40:0{number}.000Z\tann\trecipe.use\tcap\ta\\tb\t" for number in (1, 2)
    ]
    assert run("ledger", "--path", path, "--audit", "--json", "--since", "2026-02-02T02:40:02") == 0
    (found,) = json.loads(capsys.readouterr().out)["audit"]
    assert (found["entry_id"], found["who"], found["at_utc"]) == ("e2", "ann", "2026-02-02T02:40:02.000Z")
    assert run("ledger", "--path", path, "--audit", "--csv", tmp_path / "audit.csv") == 0
    with (tmp_path / "audit.csv").open(newline="") as file:
        assert [row["before"] for row in csv.DictReader(file)] == ["a\tb", "a\tb"]
    assert run("ledger", "--path", path, "--audit", "--verdict", "FAIL") == 2
