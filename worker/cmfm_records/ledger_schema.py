"""The ledger's file: its tables, which follow from the result on the wire, and the refusal of other files.

`PRAGMA application_id` marks a file as a ledger and `PRAGMA user_version` holds the version of its schema. Version 4
lacks the audit table alone: it is read, and a worker that opens it adds the table. A file of any other version, or of
another program, is refused with a message that says which it is.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Final

from cmfm_protocol.wire.fields import fields_of
from cmfm_protocol.wire.result import Result
from cmfm_records.audit import CREATE_AUDIT
from cmfm_service.sqlite import transaction

SCHEMA_VERSION: Final = 5
WITHOUT_AUDIT: Final = 4
APPLICATION_ID: Final = 0x434D464C
""" "CMFL"."""

SQL_TYPES: Final[Mapping[type, str]] = {str: "TEXT", int: "INTEGER", float: "REAL"}
"""Flags are integers in Python and in SQLite. Fields of other types (lists) have no column."""

NOT_RECORDED: Final = frozenset({"queue_free", "drops_total", "map_ref"})
"""Fields of a result that have no column: they describe the worker at that moment, or a message that followed."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table `triggers`: `python` is str, int, float or bool, or a subclass of one."""

    name: str
    python: type
    nullable: bool

    @property
    def sql_type(self) -> str:
        """The type that SQLite stores it as."""
        return next(sql for kind, sql in SQL_TYPES.items() if issubclass(self.python, kind))

    @property
    def declaration(self) -> str:
        """The column in CREATE TABLE."""
        return f"{self.name} {self.sql_type}{'' if self.nullable else ' NOT NULL'}"


RESULT_COLUMNS: Final = tuple(
    Column(field.name, field.python, field.nullable)
    for field in fields_of(Result)
    if field.name not in NOT_RECORDED and issubclass(field.python, tuple(SQL_TYPES))
)
HASH_COLUMNS: Final = (
    Column("recipe_sha", str, nullable=True),  # SHA-256 of recipe.toml; NULL if no recipe decided
    Column(
        "frame_sha256", str, nullable=True
    ),  # of the bytes rgb + xyz as received; NULL if no frame was read
)
COLUMNS: Final[Mapping[str, Column]] = {column.name: column for column in (*RESULT_COLUMNS, *HASH_COLUMNS)}

key_of: Final = itemgetter(*(tuple(COLUMNS).index(name) for name in ("boot_id", "result_id")))
"""The primary key of a row: boot_id and result_id."""

_INTO: Final = f"INTO triggers ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"
INSERT: Final = f"INSERT {_INTO}"
INSERT_IF_ABSENT: Final = f"INSERT OR IGNORE {_INTO}"

CREATE: Final = (
    f"CREATE TABLE triggers ({', '.join(column.declaration for column in COLUMNS.values())}, "
    "PRIMARY KEY (boot_id, result_id)) WITHOUT ROWID",
    "CREATE INDEX by_stream ON triggers (stream_uuid, seq)",
    "CREATE INDEX by_time ON triggers (done_ns)",
    "CREATE TABLE boots (boot_id TEXT PRIMARY KEY, started_ns INTEGER NOT NULL, flush_ms REAL NOT NULL, "
    "ending TEXT NOT NULL, rows_lost INTEGER NOT NULL)",
    "CREATE TABLE unrecorded (stream_uuid TEXT PRIMARY KEY, newest_seq INTEGER NOT NULL, done_ns INTEGER NOT NULL) "
    "WITHOUT ROWID",
    *CREATE_AUDIT,
    f"PRAGMA user_version = {SCHEMA_VERSION}",
    f"PRAGMA application_id = {APPLICATION_ID}",
)
"""`boots.ending`: "running", then "clean", or "killed" once a later start has found it still running.

`unrecorded`: streams of which rows were lost. A number up to `newest_seq` may have had a verdict without a row here.
"""


class SchemaError(Exception):
    """A file is not a ledger that this version can use; the message says why, without the path."""


def prepare_file(connection: sqlite3.Connection) -> None:
    """Make a ledger of an empty file; add the audit table to a ledger of version 4; leave others unchanged.

    Raises SchemaError, and sqlite3.Error if the file cannot be written.
    """
    empty = not _tables(connection) and _pragma(connection, "user_version") == 0
    if empty:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # only an empty file can be given it
    else:
        require_ledger(connection)
    connection.execute("PRAGMA journal_mode = WAL")
    if empty:
        with transaction(connection):
            for statement in CREATE:
                connection.execute(statement)
    elif _pragma(connection, "user_version") == WITHOUT_AUDIT:
        with transaction(connection):
            for statement in (*CREATE_AUDIT, f"PRAGMA user_version = {SCHEMA_VERSION}"):
                connection.execute(statement)


def require_ledger(connection: sqlite3.Connection) -> None:
    """Raises SchemaError if the file is not a ledger of this schema or of version 4."""
    if "triggers" not in _tables(connection):
        raise SchemaError("is not a ledger: it has no table `triggers`")
    version = _pragma(connection, "user_version") or 1  # version 1 was not recorded
    if version > SCHEMA_VERSION:
        raise SchemaError(
            f"is a ledger of version {version}, written by a newer cmfm; this one reads version {SCHEMA_VERSION}"
        )
    if version < WITHOUT_AUDIT:
        raise SchemaError(
            f"is a ledger of version {version}, older than any release; this cmfm reads version {SCHEMA_VERSION}"
        )
    found = _pragma(connection, "application_id")
    if found != APPLICATION_ID:
        raise SchemaError(f"is not a ledger: its application_id is {found:#x}, not {APPLICATION_ID:#x}")
    there = {row[1] for row in connection.execute("PRAGMA table_info(triggers)")}
    missing = [name for name in COLUMNS if name not in there]
    if missing:
        raise SchemaError(f"is not a ledger: its table `triggers` lacks {', '.join(missing)}")


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
