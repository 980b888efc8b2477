"""The ledger's file: its tables, their version, and what becomes of files of another version.

`PRAGMA user_version` holds the schema's version and `PRAGMA application_id` says that it is a ledger.
Version 1 (which recorded neither) lacks the hashes of frame and recipe; it is brought up to date when a
worker opens it. A file of a newer version, or of something else, is refused in words.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

SCHEMA_VERSION: Final = 2
APPLICATION_ID: Final = 0x434D464C
""" "CMFL"."""

COLUMNS: Final = {
    "boot_id": "TEXT NOT NULL",
    "result_id": "INTEGER NOT NULL",
    "stream_uuid": "TEXT NOT NULL",
    "seq": "INTEGER NOT NULL",
    "part_id": "TEXT NOT NULL",
    "verdict": "TEXT NOT NULL",
    "reason": "TEXT NOT NULL",
    "detail": "TEXT NOT NULL",
    "score": "REAL",
    "threshold": "REAL",
    "coverage": "REAL",
    "recipe": "TEXT NOT NULL",
    "model_sha": "TEXT NOT NULL",
    "calib_id": "TEXT NOT NULL",
    "trigger_ns": "INTEGER NOT NULL",
    "received_ns": "INTEGER",
    "done_ns": "INTEGER NOT NULL",
    "latency_us": "INTEGER NOT NULL",
    "deadline_met": "INTEGER NOT NULL",
    "simulated": "INTEGER NOT NULL",
    "recipe_sha": "TEXT",  # since version 2: sha256 of recipe.toml; NULL where no recipe decided
    "frame_sha256": "TEXT",  # since version 2: of the bytes rgb + xyz as received; NULL where no frame was read
}
ADDED_IN_2: Final = ("recipe_sha", "frame_sha256")

CREATE_TRIGGERS: Final = (
    f"CREATE TABLE triggers ({', '.join(f'{n} {t}' for n, t in COLUMNS.items())}, "
    "PRIMARY KEY (boot_id, result_id)) WITHOUT ROWID"
)
SINCE_1: Final = ("CREATE INDEX IF NOT EXISTS by_stream ON triggers (stream_uuid, seq)",)
SINCE_2: Final = (
    "CREATE INDEX by_time ON triggers (done_ns)",
    "CREATE TABLE boots (boot_id TEXT PRIMARY KEY, started_ns INTEGER NOT NULL, flush_ms REAL NOT NULL, "
    "ending TEXT NOT NULL, rows_lost INTEGER NOT NULL)",
)
"""`boots.ending`: "running", then "clean", or "killed" once a later start has found it still running."""


class SchemaError(Exception):
    """A file is no ledger, or one that this version cannot use; the message says which, without the path."""


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All or nothing, for a connection in autocommit mode (`isolation_level=None`)."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # some errors (a full disk) have rolled back already
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection, *, empty_allowed: bool) -> int:
    """The schema version of a file, 0 for an empty one. Raises SchemaError for what is no ledger, or a newer one."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if not tables and version == 0 and empty_allowed:
        return 0
    if "triggers" not in tables:
        raise SchemaError("is no ledger: it has no table `triggers`")
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"is a ledger of version {version}, written by a newer cmfm; this one knows up to {SCHEMA_VERSION}"
        )
    version = version or 1  # version 1 was not recorded
    wanted = [name for name in COLUMNS if version > 1 or name not in ADDED_IN_2]
    there = {row[1] for row in connection.execute("PRAGMA table_info(triggers)")}
    missing = [name for name in wanted if name not in there]
    if missing:
        raise SchemaError(f"is no ledger: its table `triggers` lacks {', '.join(missing)}")
    return version


def prepare_file(connection: sqlite3.Connection) -> int:
    """Make an empty file a ledger, bring an older ledger up to date; returns the version it had.

    Raises SchemaError, and sqlite3.Error where the file cannot be written.
    """
    version = version_of(connection, empty_allowed=True)
    if version == 0:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only an empty file can be given it
    connection.execute("PRAGMA journal_mode = WAL")
    if version == SCHEMA_VERSION:
        return version
    with transaction(connection):
        if version == 0:
            connection.execute(CREATE_TRIGGERS)
        else:
            for name in ADDED_IN_2:
                connection.execute(f"ALTER TABLE triggers ADD COLUMN {name} {COLUMNS[name]}")
        for statement in (*SINCE_1, *SINCE_2):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    return version
