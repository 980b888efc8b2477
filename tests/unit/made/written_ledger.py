"""A ledger with chosen rows, written at once."""

import sqlite3
from collections.abc import Iterable
from pathlib import Path

from cmfm_protocol.wire.result import Result
from cmfm_records.ledger_schema import INSERT, prepare_file
from cmfm_worker.line.records.ledger.items import row


def write_ledger(path: Path, results: Iterable[Result], *, recipe_sha: str = "") -> Path:
    """Write a ledger with these rows, or add them to it."""
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        prepare_file(connection)
        connection.execute("BEGIN")
        connection.executemany(INSERT, (row(result, recipe_sha=recipe_sha) for result in results))
        connection.execute("COMMIT")
    finally:
        connection.close()
    return path
