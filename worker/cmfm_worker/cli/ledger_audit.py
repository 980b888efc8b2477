"""`cmfm-worker ledger --audit`: prints or exports the audit table of a ledger."""

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

if TYPE_CHECKING:
    from cmfm_records.audit import AuditEntry

HEADER: Final = ("changed (UTC)", "who", "what", "subject", "before", "after")


def show_audit(
    path: Path, since: str | None, until: str | None, limit: int | None, csv: Path | None, *, as_json: bool
) -> None:
    """Print the entries of a time, or write them as CSV. Raises InputError."""
    import time

    from cmfm_records.ledger import open_ledger
    from cmfm_records.time_text import parse_time_ns
    from cmfm_worker.cli.console import print_json

    now_ns = time.time_ns()
    since_ns = parse_time_ns(since, now_ns) if since is not None else None
    until_ns = parse_time_ns(until, now_ns) if until is not None else None
    with open_ledger(path) as reader:
        entries = list(reader.audit(since_ns, until_ns, limit))
    if as_json:
        print_json({"audit": [{**asdict(entry), "at_utc": entry.at_utc} for entry in entries]})
    elif csv is not None:
        _write_csv(csv, entries)
        typer.echo(f"{len(entries)} entries in {csv}")
    else:
        _show(entries, f"{path}, {len(entries)} entries of the audit table")


def _show(entries: "Iterable[AuditEntry]", title: str) -> None:
    from cmfm_worker.cli.console import on_terminal, print_row

    if not on_terminal():
        print_row(HEADER)
        for entry in entries:
            print_row(_cells(entry))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for name in HEADER:
        table.add_column(name, overflow="fold")
    for entry in entries:
        table.add_row(*map(Text, _cells(entry)))  # as Text: what came over the wire is no markup
    Console().print(table)


def _cells(entry: "AuditEntry") -> list[str]:
    return [entry.at_utc, entry.who, entry.what, entry.subject, entry.before, entry.after]


def _write_csv(path: Path, entries: "Iterable[AuditEntry]") -> None:
    import csv

    from cmfm_records.audit import AUDIT_COLUMNS
    from cmfm_worker.errors import InputError

    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, (*AUDIT_COLUMNS, "at_utc"))
            writer.writeheader()
            for entry in entries:
                writer.writerow({**asdict(entry), "at_utc": entry.at_utc})
    except OSError as error:
        raise InputError(f"{path}: cannot be written ({error.strerror or error})") from error
