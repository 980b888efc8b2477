"""Figures at the end of a run: a table for people, a map for programs."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cmfm_protocol.wire.verdict import FAULT_REASONS, Verdict
from cmfm_sim.accounting import Account
from cmfm_sim.punctuality import GRACE_MS, Punctuality
from cmfm_sim.spread import Spread
from cmfm_sim.verdict_text import STYLES


def summary_map(account: Account, problems: Sequence[str], pictures: Sequence[Path]) -> dict[str, Any]:
    """The figures for a program: plain JSON types."""
    on_time = account.punctuality
    return {
        "triggers": account.triggers,
        "verdicts": {str(verdict): account.verdicts[verdict] for verdict in Verdict},
        "reasons": {str(reason): count for reason, count in sorted(account.reasons.items())},
        "unattributed": account.unattributed,
        "good": account.good,
        "defective": account.defective,
        "escapes": list(account.escapes),
        "false_rejects": list(account.false_rejects),
        "latency_ms": _spread_map(account.latency_ms),
        "on_time": {
            "grace_ms": GRACE_MS,
            "parts": on_time.parts,
            "given": on_time.given,
            "given_late_ms": _spread_map(on_time.given_late_ms),
            "heard": on_time.heard,
            "arrived": on_time.arrived,
            "arrived_late_ms": _spread_map(on_time.arrived_late_ms),
        },
        "frames_per_second": account.frames_per_second,
        "identity_holds": not problems,
        "problems": list(problems),
        "pictures": [str(path) for path in pictures],
    }


def summary_view(account: Account, problems: Sequence[str]) -> Group:
    """The figures for a person."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    table.add_row("parts", f"{account.triggers} ({account.good} good, {account.defective} defective)")
    table.add_row("verdicts", _verdicts(account))
    table.add_row("escapes", _share(account.escapes, account.defective, "defective parts passed"))
    table.add_row("false rejects", _share(account.false_rejects, account.good, "good parts failed"))
    faults = {reason: count for reason, count in account.reasons.items() if reason in FAULT_REASONS}
    if faults:
        table.add_row("faults", ", ".join(f"{reason} {count}" for reason, count in sorted(faults.items())))
    table.add_row("latency", f"{_spread(account.latency_ms)} from scheduled trigger to verdict")
    table.add_row("on time", _on_time(account.punctuality))
    rate = account.frames_per_second
    table.add_row("parts per second, as fed", f"{rate:.2f}" if rate is not None else "-")
    return Group(table, identity_text(account, problems))


def identity_text(account: Account, problems: Sequence[str]) -> Text:
    """The identity in figures, and the violations of it."""
    verdicts = account.verdicts
    sums = " + ".join(f"{verdicts[verdict]} {verdict.lower()}" for verdict in Verdict)
    extra = f" + {account.unattributed} unattributed" if account.unattributed else ""
    text = Text(f"{account.triggers} triggers{extra} = {sums}: ")
    if not problems:
        return text.append("the account holds", style="bold green")
    text.append("the account does NOT hold", style="bold red")
    for problem in problems:
        text.append(f"\n  {problem}", style="red")
    return text


def _verdicts(account: Account) -> Text:
    parts = [Text(f" {verdict} {account.verdicts[verdict]} ", STYLES[verdict]) for verdict in Verdict]
    return Text("  ").join(parts)


def _share(parts: Sequence[str], of: int, what: str) -> Text:
    text = Text(f"{len(parts)} of {of} {what}")
    if parts:
        text.append(f": {', '.join(parts[:6])}{', …' if len(parts) > 6 else ''}", style="dim")
    return text


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "-"
    return f"p50 {spread.p50:.0f} ms, p99 {spread.p99:.0f} ms, p99.9 {spread.p999:.0f} ms, max {spread.most:.0f} ms"


def _spread_map(spread: Spread | None) -> dict[str, float] | None:
    if spread is None:
        return None
    return {"p50": spread.p50, "p99": spread.p99, "p99.9": spread.p999, "max": spread.most}


def _on_time(on_time: Punctuality) -> str:
    return (
        f"{on_time.given} of {on_time.parts} verdicts sent by deadline + {GRACE_MS:g} ms"
        f"{_late(on_time.given_late_ms)}; {on_time.arrived} of {on_time.heard} received by then"
        f"{_late(on_time.arrived_late_ms)}"
    )


def _late(spread: Spread | None) -> str:
    return f" (lateness p99.9 {spread.p999:.1f} ms, max {spread.most:.1f} ms)" if spread else ""
