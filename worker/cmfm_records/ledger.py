"""Queries of a ledger, while its worker writes or years later: rows, totals, and whether the totals add up."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from cmfm_protocol.wire.verdict import Verdict
from cmfm_records.audit import AuditEntry, read_audit
from cmfm_records.ledger_schema import COLUMNS, SchemaError, require_ledger
from cmfm_records.time_text import utc_text
from cmfm_records.trend import Slots, read_slots
from cmfm_settings.errors import InputError

FETCH_ROWS: Final = 1000

WAIT_S: Final = 5.0
"""How long a lock of another program is waited for."""

Record = dict[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """A filter of rows; None does not filter. `since_ns` ≤ done_ns < `until_ns`. `limit` keeps the newest.

    A frame that names no recipe is decided by the line's default one, and its row has recipe "". With `models`, rows of
    these models that name no recipe count as rows of `recipe` too.
    """

    since_ns: int | None = None
    until_ns: int | None = None
    verdict: Verdict | None = None
    recipe: str | None = None
    part: str | None = None
    stream: str | None = None
    boot: str | None = None
    result_id: int | None = None
    model: str | None = None
    models: tuple[str, ...] = ()
    limit: int | None = None

    def where(self) -> tuple[str, tuple[object, ...]]:
        """The SQL condition and its values."""
        terms: dict[str, object] = {
            "done_ns >= ?": self.since_ns,
            "done_ns < ?": self.until_ns,
            "verdict = ?": self.verdict,
            "part_id = ?": self.part,
            "stream_uuid = ?": self.stream,
            "boot_id = ?": self.boot,
            "result_id = ?": self.result_id,
            "model_sha = ?": self.model,
        }
        asked: dict[str, tuple[object, ...]] = {
            term: (value,) for term, value in terms.items() if value is not None
        }
        if self.recipe is not None:
            unnamed = f"(recipe = '' AND model_sha IN ({', '.join('?' * len(self.models))}))"
            asked[f"(recipe = ? OR {unnamed})"] = (self.recipe, *self.models)
        return " AND ".join(asked) or "1", tuple(value for values in asked.values() for value in values)


@dataclass(frozen=True, slots=True)
class Boot:
    """One run of a worker: result ids are 1, 2, 3 … in each, so that a missing row shows.

    `ending` is "running", "clean" or "killed"; "" if the ledger has no entry of that boot. `missing` rows lie between
    the oldest and the newest; before the oldest they may have been deleted for age or size.
    """

    boot_id: str
    rows: int
    missing: int
    last_done_ns: int
    ending: str
    flush_ms: float | None


@dataclass(frozen=True, slots=True)
class Totals:
    """Counts over all rows of a query, without its limit, and the boots they belong to."""

    triggers: int
    verdicts: dict[str, int]
    boots: tuple[Boot, ...] = field(default=())

    @property
    def holds(self) -> bool:
        """triggers = pass + fail + undecided + fault, and no row missing within a boot."""
        return self.triggers == sum(self.verdicts.values()) and not any(boot.missing for boot in self.boots)

    def sentence(self) -> str:
        """The accounting identity in one line, and the number of missing rows."""
        terms = " + ".join(f"{count} {verdict}" for verdict, count in self.verdicts.items())
        equals = "=" if self.triggers == sum(self.verdicts.values()) else "≠"
        missing = sum(boot.missing for boot in self.boots)
        complete = "no row missing" if not missing else f"{missing} ROWS MISSING"
        return f"{self.triggers} triggers {equals} {terms}; {complete}"

    def remarks(self) -> list[str]:
        """One line for each boot whose rows are, or may be, incomplete."""
        lines = [
            f"boot {boot.boot_id}: {boot.missing} result ids have no row"
            for boot in self.boots
            if boot.missing
        ]
        lines += [
            f"boot {boot.boot_id} was killed: verdicts after {utc_text(boot.last_done_ns)}, those of at most "
            f"{boot.flush_ms:g} ms before its end, may be missing"
            for boot in self.boots
            if boot.ending == "killed"
        ]
        return lines


class LedgerReader:
    """A ledger opened for reading; made by `open_ledger`."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def rows(self, question: Question) -> Iterator[Record]:
        """The rows of a query, oldest first; keys are those of COLUMNS, then done_utc."""
        where, values = question.where()
        newest = "ORDER BY done_ns DESC, result_id DESC LIMIT ?"
        select = f"SELECT {', '.join(COLUMNS)} FROM triggers WHERE {where}"  # noqa: S608 (terms and names are ours)
        if question.limit is not None:
            select, values = f"SELECT * FROM ({select} {newest})", (*values, question.limit)  # noqa: S608
        cursor = self._connection.execute(f"{select} ORDER BY done_ns, result_id", values)
        while batch := cursor.fetchmany(FETCH_ROWS):
            yield from (_record(row) for row in batch)

    def totals(self, question: Question) -> Totals:
        """Counts of all rows of a query, without its limit."""
        where, values = question.where()
        select = f"SELECT verdict, COUNT(*) FROM triggers WHERE {where} GROUP BY verdict"  # noqa: S608
        found = dict(self._connection.execute(select, values).fetchall())
        counts = {str(verdict): found.get(str(verdict), 0) for verdict in Verdict}
        return Totals(sum(found.values()), counts, tuple(self._boots(question)))

    def newest_model(self, question: Question) -> str:
        """Return the id of the model that decided the newest row of a query; "" if none decided one."""
        where, values = question.where()
        select = (
            f"SELECT model_sha FROM triggers WHERE {where} AND model_sha <> '' ORDER BY done_ns DESC LIMIT 1"  # noqa: S608
        )
        found = self._connection.execute(select, values).fetchone()
        return str(found[0]) if found else ""

    def audit(
        self, since_ns: int | None = None, until_ns: int | None = None, limit: int | None = None
    ) -> Iterator[AuditEntry]:
        """The entries of the audit table, `since_ns` ≤ at_ns < `until_ns`, the newest `limit`; oldest first."""
        return read_audit(self._connection, since_ns, until_ns, limit)

    def counts(self, question: Question, slot_ns: int) -> list[tuple[int, str, str, int]]:
        """Count the rows of a query: (done_ns // slot_ns, recipe, verdict, rows)."""
        where, values = question.where()
        select = (
            "SELECT done_ns / ? AS slot, recipe, verdict, COUNT(*) FROM triggers "  # noqa: S608
            f"WHERE {where} GROUP BY slot, recipe, verdict"
        )
        return self._connection.execute(select, (slot_ns, *values)).fetchall()

    def slots(self, question: Question, *, start_ns: int, slot_ns: int, slots: int, model: str) -> Slots:
        """Count the rows of a query in slots of time, with a sample of their measures (`trend`)."""
        return read_slots(
            self._connection, question.where(), start_ns=start_ns, slot_ns=slot_ns, slots=slots, model=model
        )

    def _boots(self, question: Question) -> Iterator[Boot]:
        where, values = question.where()
        select = (
            "SELECT boot_id, COUNT(*), MIN(result_id), MAX(result_id), MAX(done_ns) FROM triggers "  # noqa: S608
            f"WHERE boot_id IN (SELECT DISTINCT boot_id FROM triggers WHERE {where}) GROUP BY boot_id "
            "ORDER BY MAX(done_ns)"
        )
        recorded = self._connection.execute("SELECT boot_id, ending, flush_ms FROM boots")
        endings = {boot: (ending, flush_ms) for boot, ending, flush_ms in recorded}
        for boot_id, rows, first, last, done_ns in self._connection.execute(select, values):
            ending, flush_ms = endings.get(boot_id, ("", None))
            yield Boot(boot_id, rows, last - first + 1 - rows, done_ns, ending, flush_ms)


def _record(row: tuple[Any, ...]) -> Record:
    record: dict[str, Any] = dict(zip(COLUMNS, row, strict=True))
    flags = {name: bool(record[name]) for name, column in COLUMNS.items() if column.python is bool}
    return record | flags | {"done_utc": utc_text(record["done_ns"])}


@contextmanager
def open_ledger(path: Path, *, wait_s: float = WAIT_S) -> Iterator[LedgerReader]:
    """Open a ledger for reading, also while a worker writes it.

    Raises InputError naming the file and the problem; also if another program keeps it locked for `wait_s`.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'not a file' if path.exists() else 'no such file'}; expected a ledger")
    with _sentences(path, wait_s), closing(_connect(path, wait_s)) as connection:
        require_ledger(connection)
        connection.execute("BEGIN")  # rows and totals of one moment, although the worker writes on
        yield LedgerReader(connection)


@contextmanager
def _sentences(path: Path, wait_s: float) -> Iterator[None]:
    """Turn errors of SQLite into InputError."""
    try:
        yield
    except SchemaError as error:
        raise InputError(f"{path} {error}") from error
    except sqlite3.Error as error:
        if _is_locked(error):
            raise InputError(
                f"{path}: another program has locked it for {wait_s:g} s; end that one, or try again"
            ) from error
        raise InputError(f"{path}: not a ledger, or a damaged one ({error})") from error


def _is_locked(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _connect(path: Path, wait_s: float) -> sqlite3.Connection:
    """Connect read-only; without SQLite's own files if the folder is read-only and nobody writes the ledger.

    Raises sqlite3.Error if it is locked.
    """
    uri = f"file:{quote(str(path.resolve()))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=wait_s)
    try:
        connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    except sqlite3.OperationalError as error:
        if _is_locked(error):  # somebody writes it: it must not be read without locks
            connection.close()
            raise
        if path.with_name(f"{path.name}-wal").exists():
            return connection  # rows may be in there: the reader must fail
        connection.close()
        return sqlite3.connect(f"{uri}&immutable=1", uri=True, timeout=wait_s)
    except sqlite3.Error:
        return connection  # the reader must fail here too
    return connection
