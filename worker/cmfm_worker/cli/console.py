"""The output of commands: progress and remarks on stderr, tables and JSON on stdout."""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table

from cmfm_worker.cfm.progress import ReportProgress
from cmfm_worker.cli.progress_lines import ProgressLines


@contextmanager
def progress_bars(titles: Mapping[str, str]) -> Iterator[ReportProgress]:
    """Show a progress bar for each stage that reports, or lines if standard error is not a terminal.

    Yields the callback for reports.

    `titles` names the stages in their order. When a stage starts again, the bars of the later ones are reset.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield ProgressLines(titles, lambda text: console.print(text, markup=False, highlight=False))
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
            if stage not in tasks:
                tasks[stage] = progress.add_task(titles[stage], total=total)
            elif done < progress.tasks[tasks[stage]].completed:
                for later in list(titles)[list(titles).index(stage) + 1 :]:
                    if later in tasks:
                        progress.reset(tasks[later])
            progress.update(tasks[stage], completed=done, total=total)

        yield advance


def show_facts(title: str, facts: Sequence[tuple[str, str]]) -> None:
    """Print a table of two columns."""
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, value)
    Console().print(table)


def show_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; columns after the first are aligned to the right."""
    table = Table(title=title, title_justify="left")
    for i, name in enumerate(header):
        table.add_column(name, justify="left" if i == 0 else "right", overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console().print(table)


def remark(text: str) -> None:
    """Print one line on stderr for the person who runs the command."""
    sys.stderr.write(f"{text}\n")


def print_json(value: Mapping[str, Any]) -> None:
    """Print a JSON object on stdout, for programs."""
    sys.stdout.write(json.dumps(value, indent=2, allow_nan=False) + "\n")
