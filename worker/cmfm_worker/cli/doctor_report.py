"""The report of `doctor`: a table on a terminal, one row a finding in a pipe, or JSON."""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cmfm_worker.cli.console import on_terminal, print_row
from cmfm_worker.doctor.findings import Finding, Outcome, all_well, summary

STYLES: Final = {
    Outcome.GOOD: "green",
    Outcome.NOTE: "cyan",
    Outcome.NOT_CHECKED: "yellow",
    Outcome.TO_DO: "bold red",
}
OUTCOME_CHARS: Final = 13
CHECK_CHARS: Final = 13


def show(found: Sequence[Finding]) -> None:
    """Print the findings in order, with what to do below each, and the sum. Words say what colours say."""
    if not on_terminal():
        for finding in found:
            print_row((finding.outcome, finding.check, finding.seen, finding.do))
        sys.stdout.write(f"# {summary(found)}\n")
        return
    console = Console()
    table = Table.grid(padding=(0, 2))
    for width in (OUTCOME_CHARS, CHECK_CHARS):
        table.add_column(min_width=width - 2, no_wrap=True)
    table.add_column(overflow="fold")
    for finding in found:
        outcome = Text(finding.outcome, style=STYLES[finding.outcome])
        table.add_row(outcome, Text(finding.check, style="bold"), Text(finding.seen))
        if finding.do:
            table.add_row("", "", Text(f"→ {finding.do}"))
    console.print(table)
    console.print(Text(summary(found), style="bold green" if all_well(found) else "bold"))


def as_text(found: Sequence[Finding]) -> str:
    """Return the report as plain text, for the bundle."""
    lines = []
    for finding in found:
        lines.append(f"{finding.outcome:<{OUTCOME_CHARS}}{finding.check:<{CHECK_CHARS}}{finding.seen}")
        if finding.do:
            lines.append(f"{'':{OUTCOME_CHARS + CHECK_CHARS}}-> {finding.do}")
    return "\n".join([*lines, summary(found)]) + "\n"


def as_json_text(found: Sequence[Finding]) -> str:
    """Return the report for a program."""
    report = {
        "good": all_well(found),
        "summary": summary(found),
        "findings": [asdict(each) for each in found],
    }
    return json.dumps(report, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
