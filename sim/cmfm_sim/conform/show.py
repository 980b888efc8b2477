"""The report of a conformance check, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from cmfm_sim.conform.checker import fails
from cmfm_sim.conform.report_lines import Level, ReportLine

STYLES: Final = {Level.PASS: "green", Level.FAIL: "bold red", Level.REMARK: "yellow"}
CHECK_CHARS: Final = 20


def show(console: Console, lines: Sequence[ReportLine]) -> None:
    """Print a line a finding, with what to do below it, and the sum."""
    for line in lines:
        text = Text(f"{line.level.upper():<7}", style=STYLES[line.level])
        text.append(f"{line.check:<{CHECK_CHARS}} ", style="bold")
        text.append(line.found, style="default")
        console.print(text)
        if line.do:
            where = f" [WIRE.md, {line.section}]" if line.section else ""
            console.print(Text(f"{'':{8 + CHECK_CHARS}}{line.do}{where}", style="dim"))
    counts = ", ".join(f"{sum(line.level is level for line in lines)} {level}" for level in Level)
    verdict = "does NOT follow WIRE.md" if fails(lines) else "follows WIRE.md as far as it was heard"
    console.print(
        Text(f"{counts}: this camera {verdict}", style="bold red" if fails(lines) else "bold green")
    )


def report_map(endpoint: str, seconds: float, messages: int, lines: Sequence[ReportLine]) -> dict[str, Any]:
    """The report for a program: plain JSON types."""
    return {
        "endpoint": endpoint,
        "seconds": round(seconds, 1),
        "messages": messages,
        "conforms": not fails(lines),
        "lines": [asdict(line) for line in lines],
    }
