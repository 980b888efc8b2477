"""The file of the gateway's store: its tables, its connections, the refusal of other files."""

import json
import sqlite3
from pathlib import Path
from typing import Final

from cmfm_client import IdRange, ReceivedIds
from cmfm_gateway.errors import InputError
from cmfm_protocol.wire.frame import UNATTRIBUTED_STREAM
from cmfm_service.sqlite import transaction

APPLICATION_ID: Final = 0x434D4647
""" "CMFG"."""

SCHEMA_VERSION: Final = 1

BUSY_S: Final = 5.0
"""Time that one connection waits for the other's write, which takes well below a millisecond."""

BOOTS_KEPT: Final = 100

CREATE: Final = (
    "CREATE TABLE results (number INTEGER PRIMARY KEY, boot_id TEXT NOT NULL, "
    "result_id INTEGER NOT NULL, stream_uuid TEXT NOT NULL, seq INTEGER NOT NULL, part_id TEXT NOT NULL, "
    "received_ns INTEGER, payload BLOB NOT NULL, UNIQUE (boot_id, result_id))",
    f"CREATE UNIQUE INDEX by_trigger ON results (stream_uuid, seq) WHERE stream_uuid != '{UNATTRIBUTED_STREAM}'",
    "CREATE INDEX by_part ON results (part_id)",
    "CREATE TABLE cursors (consumer TEXT PRIMARY KEY, number INTEGER NOT NULL)",
    "CREATE TABLE boots (position INTEGER PRIMARY KEY AUTOINCREMENT, boot_id TEXT NOT NULL UNIQUE, "
    "newest INTEGER NOT NULL, owed TEXT NOT NULL)",
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    f"PRAGMA application_id = {APPLICATION_ID}",
)


def connect(path: Path) -> sqlite3.Connection:
    """Open the file, in autocommit mode, for use by any thread that holds its lock."""
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # a commit never waits for the disk: `tidy` does
    return connection


def prepare(connection: sqlite3.Connection, path: Path) -> None:
    """Make the tables in an empty file. Raises InputError for a file of another program or version."""
    tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if tables and (application != APPLICATION_ID or version != SCHEMA_VERSION):
        raise InputError(f"gateway.store: {path} is not a store of this version; name another file")
    connection.execute("PRAGMA journal_mode = WAL")
    if not tables:
        with transaction(connection):
            for statement in CREATE:
                connection.execute(statement)


def read_boots(connection: sqlite3.Connection) -> dict[str, ReceivedIds]:
    """Return what was received of each boot of the worker, the latest last; the oldest boots are forgotten."""
    connection.execute(
        "DELETE FROM boots WHERE position <= (SELECT max(position) FROM boots) - ?", (BOOTS_KEPT,)
    )
    rows = connection.execute("SELECT boot_id, newest, owed FROM boots ORDER BY position")
    return {
        boot_id: ReceivedIds(newest, [IdRange(first, last) for first, last in json.loads(owed)])
        for boot_id, newest, owed in rows
    }
