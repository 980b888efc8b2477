"""A ledger's rows as CSV or Parquet, written in portions, so that any number of rows fits in memory."""

import csv
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cmfm_records.ledger import Record
from cmfm_records.ledger_schema import COLUMNS
from cmfm_settings.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

FIELDS: Final = (*COLUMNS, "done_utc")
ROW_GROUP: Final = 50_000


def write_csv(path: Path, rows: Iterable[Record]) -> int:
    """Write rows with a header line (RFC 4180, UTF-8; NULL is empty); returns their number. Raises InputError."""
    count = 0
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, FIELDS)
            writer.writeheader()
            for row in rows:
                writer.writerow(row)
                count += 1
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return count


def require_pyarrow() -> None:
    """Raises InputError, saying how to get it, if pyarrow is not installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise InputError(
            "Parquet needs pyarrow, which is not installed: pip install 'cmfm[parquet]', or use --csv"
        ) from error


def write_parquet(path: Path, rows: Iterable[Record]) -> int:
    """Write rows (times as int64 nanoseconds); returns their number. Raises InputError."""
    require_pyarrow()
    import pyarrow as pa
    from pyarrow.parquet import ParquetWriter

    schema, count = _schema(), 0
    try:
        with ParquetWriter(path, schema) as writer:
            for group in _groups(rows):
                writer.write_table(pa.Table.from_pylist(group, schema=schema))
                count += len(group)
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
    return count


def _schema() -> "pa.Schema":
    import pyarrow as pa

    kinds = {"TEXT": pa.string(), "INTEGER": pa.int64(), "REAL": pa.float64()}
    fields: list[Any] = []
    for column in COLUMNS.values():
        kind = pa.bool_() if column.python is bool else kinds[column.sql_type]
        fields.append(pa.field(column.name, kind, nullable=column.nullable))
    return pa.schema([*fields, pa.field("done_utc", pa.string(), nullable=False)])


def _groups(rows: Iterable[Record]) -> Iterator[list[Record]]:
    left = iter(rows)
    while group := list(islice(left, ROW_GROUP)):
        yield group
