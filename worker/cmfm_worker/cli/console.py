"""The output of commands: progress and remarks on stderr, tables and JSON on stdout."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.cli.progress_lines import ProgressLines, printed_regularly


@contextmanager
def progress_bars(titles: Mapping[str, str]) -> Iterator[ReportProgress]:
    """Show a progress bar for each stage that reports, or lines if standard error is not a terminal.

    Yields the callback for reports.

    `titles` names the stages in their order; others are not shown. When a stage starts again, the bars of the later
    ones are reset.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        lines = ProgressLines(titles, remark)
        with printed_regularly(lines):
            yield lines
        return
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        tasks: dict[str, TaskID] = {}

        def advance(stage: str, done: int, total: int) -> None:
            if stage not in titles:
                return
            if stage not in tasks:
                tasks[stage] = progress.add_task(titles[stage], total=total)
            elif done < progress.tasks[tasks[stage]].completed:
                for later in list(titles)[list(titles).index(stage) + 1 :]:
                    if later in tasks:
                        progress.reset(tasks[later])
            progress.update(tasks[stage], completed=done, total=total)

        yield advance


def on_terminal() -> bool:
    """Tell whether stdout is a terminal. Elsewhere a table is one line a row, its cells separated by tabs."""
    return Console().is_terminal


def print_row(cells: Sequence[str]) -> None:
    """Print one row for a program: cells separated by tabs; tabs and line breaks in a cell are escaped."""
    sys.stdout.write("\t".join(cell.translate(_ESCAPES) for cell in cells) + "\n")


def _print_rows(title: str, rows: Sequence[Sequence[str]]) -> None:
    print_row([f"# {title}"])
    for row in rows:
        print_row(row)


_ESCAPES: Final = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def show_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print a table of two columns."""
    if not on_terminal():
        _print_rows(title, facts)
        return
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    Console().print(table)


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns after the first are aligned to the right."""
    if not on_terminal():
        _print_rows(title, (header, *rows))
        return
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def remark(text: str) -> None:
    """Print one line on stderr for the person who runs the command."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def remark_impossible(parts: Mapping[str, int]) -> None:
    """Say on stderr how many impossible points count as not measured; `parts` maps parts to their number."""
    some = {name: px for name, px in parts.items() if px}
    if some:
        worst = max(some, key=lambda name: some[name])
        remark(
            f"{sum(some.values())} impossible points in {len(some)} of the parts count as not measured (z ≤ 0, "
            f"infinite, or beyond 20 m); most in {worst}: {some[worst]}"
        )


def print_json(value: Mapping[str, Any]) -> None:
    """Print a JSON object on stdout, for programs."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
