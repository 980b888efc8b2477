"""An index of archived parts: one SQLite row a folder, so that tens of thousands of parts can be filtered and paged.

The index is a cache. `refresh` compares its rows with the folder's entries, forgets parts that are gone and reads the
`result.json` of new ones, the newest first and a bounded number a call. Rows lie in the index's file. Memory holds the
names of all parts during a listing (about 100 bytes each), and otherwise what was asked for. A file that cannot be used
is made anew.
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cmfm_records.archived_part import NAME
from cmfm_records.archived_row import COLUMNS, ArchivedRow, PartFilter
from cmfm_service.sqlite import transaction
from cmfm_settings.errors import InputError

SCHEMA_VERSION: Final = 1
APPLICATION_ID: Final = 0x434D4649
""" "CMFI"."""

SETTLED_S: Final = 2.0
"""A folder that changed less than this before it was listed may have changed again within its clock's tick."""

MAX_TORN_LOOKS: Final = 100
"""Torn parts that one refresh looks at again: somebody may have completed them."""

_CREATE: Final = (
    f"CREATE TABLE parts ({', '.join(COLUMNS.values())}, PRIMARY KEY (name)) WITHOUT ROWID",
    *(f"CREATE INDEX by_{key} ON parts ({key}, name)" for key in ("recipe", "reason", "camera")),
    "CREATE INDEX by_result ON parts (result_id, boot_id)",
    "CREATE TABLE source (folder TEXT NOT NULL)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    f"PRAGMA application_id = {APPLICATION_ID}",
)
_INSERT: Final = f"INSERT OR REPLACE INTO parts VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 (marks alone)
_NEW: Final = "SELECT name FROM seen WHERE name NOT IN (SELECT name FROM parts) ORDER BY name DESC LIMIT ?"


class ArchiveIndex:
    """The index of one archive's folder. Safe for use by several threads.

    `file` is the index's own file; None keeps it in memory (about 500 bytes a part). Any content of `file` that is not
    an index of `folder` is replaced. Raises InputError if `file` cannot be written.
    """

    def __init__(self, folder: Path, file: Path | None = None) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._refreshing = threading.Lock()
        self._listed: int | None = None  # mtime_ns of the folder as listed, None if it must be listed again
        self._unread = 0
        self._connection = _open(folder, file)

    def close(self) -> None:
        """Close the index's file."""
        with self._lock:
            self._connection.close()

    def refresh(self, limit: int = 500) -> int:
        """Bring the index up to date, reading at most `limit` parts; returns the number of parts left to read.

        Raises InputError if the folder cannot be listed; the index then stays as it was.
        """
        with self._refreshing:
            self._look_at_torn()
            changed = self._list_if_changed()
            if changed or self._unread:
                self._read_new(limit)
            return self._unread

    def page(
        self, wanted: PartFilter, *, limit: int, before: str | None = None, after: str | None = None
    ) -> list[ArchivedRow]:
        """At most `limit` rows, newest first: the newest, those older than `before`, or the next newer than `after`."""
        where, values = wanted.where()
        if after is not None:
            found = self._rows(f"{where} AND name > ? ORDER BY name LIMIT ?", (*values, after, limit))
            return found[::-1]
        if before is not None:
            where, values = f"{where} AND name < ?", (*values, before)
        return self._rows(f"{where} ORDER BY name DESC LIMIT ?", (*values, limit))

    def row(self, name: str) -> ArchivedRow | None:
        """The row of a folder's name; None if the index does not have it."""
        return next(iter(self._rows("name = ?", (name,))), None)

    def find(self, boot_id: str, result_id: int) -> ArchivedRow | None:
        """The row of a result; None if its part is not archived, or not read yet."""
        return next(iter(self._rows("result_id = ? AND boot_id = ?", (result_id, boot_id))), None)

    def count(self, wanted: PartFilter) -> int:
        """The number of parts that a filter leaves."""
        where, values = wanted.where()
        return int(self._all(f"SELECT COUNT(*) FROM parts WHERE {where}", values)[0][0])  # noqa: S608 (terms are ours)

    def choices(self, key: str) -> list[tuple[str, int]]:
        """The values of `recipe`, `reason` or `camera` that parts have, each with its number of parts."""
        if key not in ("recipe", "reason", "camera"):
            raise ValueError(f"{key!r} is no key of a choice")
        select = f"SELECT {key}, COUNT(*) FROM parts GROUP BY {key} ORDER BY {key}"  # noqa: S608 (key is one of three)
        return [(str(value), int(count)) for value, count in self._all(select, ())]

    def _rows(self, rest: str, values: tuple[object, ...]) -> list[ArchivedRow]:
        select = f"SELECT {', '.join(COLUMNS)} FROM parts WHERE {rest}"  # noqa: S608 (terms and names are ours)
        return [ArchivedRow.of(row) for row in self._all(select, values)]

    def _all(self, statement: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
        with self._database() as connection:
            return connection.execute(statement, values).fetchall()

    @contextmanager
    def _database(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._connection
            except sqlite3.Error as error:
                raise InputError(f"the index of {self.folder} cannot be used ({error})") from error

    def _list_if_changed(self) -> bool:
        try:
            mtime_ns = self.folder.stat().st_mtime_ns
            if mtime_ns == self._listed:
                return False
            now_ns = time.time_ns()
            with self._database() as connection, transaction(connection):
                connection.execute("DELETE FROM seen")
                connection.executemany("INSERT INTO seen VALUES (?)", _names(self.folder))
                connection.execute("DELETE FROM parts WHERE name NOT IN (SELECT name FROM seen)")
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be listed ({error.strerror or error})") from error
        self._listed = mtime_ns if abs(now_ns - mtime_ns) > SETTLED_S * 1e9 else None
        return True

    def _read_new(self, limit: int) -> None:
        names = [str(name) for (name,) in self._all(_NEW, (limit,))]
        rows = [ArchivedRow.read(self.folder / name) for name in names]
        gone = [(name,) for name, row in zip(names, rows, strict=True) if row is None]
        with self._database() as connection, transaction(connection):
            connection.executemany(_INSERT, [row.columns() for row in rows if row is not None])
            connection.executemany("DELETE FROM seen WHERE name = ?", gone)
            counted = connection.execute("SELECT (SELECT COUNT(*) FROM seen) - (SELECT COUNT(*) FROM parts)")
            self._unread = int(counted.fetchone()[0])
            if not self._unread:
                connection.execute("DELETE FROM seen")

    def _look_at_torn(self) -> None:
        torn = self._rows("problem != '' ORDER BY name DESC LIMIT ?", (MAX_TORN_LOOKS,))
        for row in torn:
            found = ArchivedRow.read(self.folder / row.name)
            if found is not None and found != row:
                with self._database() as connection:
                    connection.execute(_INSERT, found.columns())


def _names(folder: Path) -> Iterator[tuple[str]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if NAME.fullmatch(entry.name) and entry.is_dir():
                yield (entry.name,)


def _open(folder: Path, file: Path | None) -> sqlite3.Connection:
    """Open the index of `folder`; make it anew if the file holds anything else or is damaged."""
    if file is None:
        return _made(sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False), folder)
    try:
        connection = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        try:
            if _is_index(connection, folder):
                return _for_session(connection)
        except sqlite3.DatabaseError:
            pass  # damaged, or another program's
        connection.close()
        for old in (file, file.with_name(f"{file.name}-wal"), file.with_name(f"{file.name}-shm")):
            old.unlink(missing_ok=True)
        return _made(sqlite3.connect(file, isolation_level=None, check_same_thread=False), folder)
    except (OSError, sqlite3.Error) as error:
        raise InputError(f"{file}: the index of archived parts cannot be written ({error})") from error


def _is_index(connection: sqlite3.Connection, folder: Path) -> bool:
    """Tell whether a file is a sound index of `folder`, of this version."""
    marks = [
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
    ]
    if marks != [APPLICATION_ID, SCHEMA_VERSION]:
        return False
    if connection.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        return False
    return bool(connection.execute("SELECT folder FROM source").fetchall() == [(str(folder.resolve()),)])


def _made(connection: sqlite3.Connection, folder: Path) -> sqlite3.Connection:
    with transaction(connection):
        for statement in _CREATE:
            connection.execute(statement)
        connection.execute("INSERT INTO source VALUES (?)", (str(folder.resolve()),))
    return _for_session(connection)


def _for_session(connection: sqlite3.Connection) -> sqlite3.Connection:
    connection.execute("PRAGMA synchronous = OFF")  # a cache: after a power cut it is made anew
    connection.execute("PRAGMA temp_store = MEMORY")  # a container may have no folder for temporary files
    connection.execute("CREATE TEMP TABLE seen (name TEXT PRIMARY KEY) WITHOUT ROWID")
    return connection
