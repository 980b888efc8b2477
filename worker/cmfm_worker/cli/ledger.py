"""`cmfm-worker ledger`: queries and exports the verdicts in a ledger's file, also while a worker writes to it."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cmfm_worker.cli.ledger_audit import show_audit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cmfm_records.ledger import Question, Record, Totals

SHOWN_ROWS = 50


def ledger(
    path: Annotated[
        Path, typer.Option(help="The ledger's file (path under ledger in line.toml).", show_default=False)
    ],
    since: Annotated[
        str | None,
        typer.Option(
            metavar="WHEN",
            help="Verdicts since that time: 2026-03-01T06:00 (UTC), or with an offset, or an age: 90m, 24h, 7d.",
            show_default=False,
        ),
    ] = None,
    until: Annotated[
        str | None, typer.Option(metavar="WHEN", help="Verdicts before that time.", show_default=False)
    ] = None,
    verdict: Annotated[
        str | None,
        typer.Option(metavar="VERDICT", help="PASS, FAIL, UNDECIDED or FAULT.", show_default=False),
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Parts of this recipe.", show_default=False)] = None,
    part: Annotated[str | None, typer.Option(help="Parts with this id.", show_default=False)] = None,
    stream: Annotated[
        str | None, typer.Option(help="Parts of this stream (a camera's boot).", show_default=False)
    ] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help=f"The newest N rows. Default: {SHOWN_ROWS} on the screen, all in a file or pipe.",
            show_default=False,
        ),
    ] = None,
    csv: Annotated[
        Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV.", show_default=False)
    ] = None,
    parquet: Annotated[
        Path | None,
        typer.Option(
            "--parquet", metavar="FILE", help="Write Parquet (extra `parquet`).", show_default=False
        ),
    ] = None,
    audit: Annotated[
        bool,
        typer.Option(
            "--audit", help="Show who changed what (with --since, --until, --limit, --csv, --json)."
        ),
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print rows and totals as JSON.")] = False,
) -> None:
    """Query a ledger, or export it.

    Rows are ordered oldest first; a limit selects the newest. In a pipe they are one line each, separated by tabs,
    under a header line; all else goes to stderr. The last line shows the accounting identity over all
    selected rows, `triggers = pass + fail + undecided + fault`, and whether rows are missing: result ids count 1, 2,
    3 … in each boot. For a file that is not a ledger the exit code is 2.
    """
    from cmfm_protocol.files.outputs import require_writable_files
    from cmfm_records.export import require_pyarrow
    from cmfm_records.ledger import open_ledger
    from cmfm_worker.cli.console import on_terminal, print_json, remark

    if sum((csv is not None, parquet is not None, json)) > 1:
        raise typer.BadParameter("give only one of --csv, --parquet and --json")
    if parquet is not None:
        require_pyarrow()
    require_writable_files(csv, parquet)
    if audit:
        if parquet is not None or any(each is not None for each in (verdict, recipe, part, stream)):
            raise typer.BadParameter("--audit goes with --since, --until, --limit, --csv and --json alone")
        show_audit(path, since, until, limit, csv, as_json=json)
        return
    if limit is None and csv is None and parquet is None and not json and on_terminal():
        limit = SHOWN_ROWS
    asked = question(since, until, verdict, recipe, part, stream, limit)
    with open_ledger(path) as reader:
        totals, rows = reader.totals(asked), reader.rows(asked)
        if json:
            print_json({"rows": list(rows), "totals": figures(totals)})
        else:
            put(rows, csv, parquet, f"{path}, {totals.triggers} triggers selected")
            to_stdout = csv is not None or parquet is not None or on_terminal()
            typer.echo(totals.sentence(), err=not to_stdout)
    for line in totals.remarks():
        remark(line)


def question(
    since: str | None,
    until: str | None,
    verdict: str | None,
    recipe: str | None,
    part: str | None,
    stream: str | None,
    limit: int | None,
) -> "Question":
    """Make a query of the options. Raises InputError for an invalid time, BadParameter for an unknown verdict."""
    from cmfm_protocol.wire.verdict import Verdict
    from cmfm_records.ledger import Question
    from cmfm_records.time_text import parse_time_ns

    try:
        wanted = Verdict(verdict.upper()) if verdict is not None else None
    except ValueError:
        raise typer.BadParameter(f"{verdict!r} is not one of {', '.join(Verdict)}") from None
    now_ns = time.time_ns()
    return Question(
        since_ns=parse_time_ns(since, now_ns) if since is not None else None,
        until_ns=parse_time_ns(until, now_ns) if until is not None else None,
        verdict=wanted,
        recipe=recipe,
        part=part,
        stream=stream,
        limit=limit,
    )


def put(rows: "Iterable[Record]", csv: Path | None, parquet: Path | None, title: str) -> None:
    """Write the rows to the given file, or print them."""
    from cmfm_records.export import write_csv, write_parquet

    if csv is not None:
        typer.echo(f"{write_csv(csv, rows)} rows in {csv}")
    elif parquet is not None:
        typer.echo(f"{write_parquet(parquet, rows)} rows in {parquet}")
    else:
        show(rows, title)


def show(rows: "Iterable[Record]", title: str) -> None:
    """Print what a person looks for first: a table, or in a pipe one line a row."""
    from cmfm_worker.cli.console import on_terminal, print_row

    header = ("decided (UTC)", "part", "recipe", "verdict", "reason", "score", "FAIL at", "result")
    if not on_terminal():
        print_row(header)
        for row in rows:
            print_row(_cells(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=title, title_justify="left")
    for name in header:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, _cells(row)))  # as Text: what came over the wire is no markup
    Console().print(table)


def _cells(row: "Record") -> list[str]:
    cells = [row["done_utc"], row["part_id"], row["recipe"], row["verdict"], row["reason"]]
    cells += [_number(row["score"]), _number(row["threshold"]), f"{row['boot_id']}/{row['result_id']}"]
    return [str(cell) for cell in cells]


def figures(totals: "Totals") -> dict[str, object]:
    """Return the totals for JSON."""
    return {
        "triggers": totals.triggers,
        "verdicts": totals.verdicts,
        "identity_holds": totals.holds,
        "boots": [
            {
                "boot_id": boot.boot_id,
                "rows": boot.rows,
                "rows_missing": boot.missing,
                "last_done_ns": boot.last_done_ns,
                "ending": boot.ending,
            }
            for boot in totals.boots
        ],
    }


def _number(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else ""
