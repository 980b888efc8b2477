"""The page's own SQLite file: audit entries on their way to the ledger, and sessions that were logged out."""

import sqlite3
import threading
from pathlib import Path
from typing import Final

from cmfm_hmi.errors import InputError, StartupError
from cmfm_service.sqlite import transaction

APPLICATION_ID: Final = 0x434D4650
""" "CMFP"."""

SCHEMA_VERSION: Final = 1
BUSY_S: Final = 5.0

CREATE: Final = (
    "CREATE TABLE audit (entry_id TEXT PRIMARY KEY, at_ns INTEGER NOT NULL, who TEXT NOT NULL, what TEXT NOT NULL, "
    "subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, sent INTEGER NOT NULL DEFAULT 0)",
    "CREATE INDEX unsent ON audit (at_ns) WHERE sent = 0",
    "CREATE TABLE ended_sessions (session_id TEXT PRIMARY KEY, ended_ns INTEGER NOT NULL)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    f"PRAGMA application_id = {APPLICATION_ID}",
)


class PageStore:
    """One connection, used by one thread at a time. Raises StartupError, InputError for a file of another kind."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(
                path, timeout=BUSY_S, isolation_level=None, check_same_thread=False
            )
        except (sqlite3.Error, OSError) as error:
            raise StartupError(f"page.store: {path} cannot be opened: {error}") from error
        try:
            self._prepare(path)
        except sqlite3.Error as error:
            self._connection.close()
            raise StartupError(f"page.store: {path} cannot be used: {error}") from error
        except BaseException:
            self._connection.close()
            raise

    def change(self, statement: str, values: tuple[object, ...] = ()) -> None:
        """Run one statement durably. Raises sqlite3.Error."""
        with self._lock:
            self._connection.execute(statement, values)

    def rows(self, statement: str, values: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
        """Return all rows of a query. Raises sqlite3.Error."""
        with self._lock:
            return self._connection.execute(statement, values).fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _prepare(self, path: Path) -> None:
        def pragma(name: str) -> int:
            return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and (pragma("application_id"), pragma("user_version")) != (APPLICATION_ID, SCHEMA_VERSION):
            raise InputError(f"page.store: {path} is not a store of this version; name another file")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")  # an audit entry survives a power cut
        if not tables:
            with transaction(self._connection):
                for statement in CREATE:
                    self._connection.execute(statement)
